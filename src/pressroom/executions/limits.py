"""The most that an execution may ask for, as the operator's settings say."""

from typing import Any

from pressroom.errors import OverLimit
from pressroom.executions.options import ExecutionDefaults
from pressroom.settings import Settings

DEFAULT_QUEUE = "default"
CEILINGS = {"memory_mb": "max_memory_mb", "cpu_seconds": "max_cpu_seconds", "max_processes": "max_processes"}
"""What an execution uses, and the setting that is the most of each, also for who says nothing."""


class Limits:
    """Those of an execution in one queue."""

    def __init__(self, settings: Settings, queue: str) -> None:
        all_of_them: dict[str, tuple[Any, str]] = {
            "timeout_seconds": (settings.timeout_limit_seconds, "PRESSROOM_TIMEOUT_LIMIT_SECONDS"),
            "max_attempts": (settings.attempts_limit, "PRESSROOM_ATTEMPTS_LIMIT"),
            "user_limit": (settings.user_limit, "PRESSROOM_USER_LIMIT"),
            "queue_limit": (settings.queue_limits.get(queue), "PRESSROOM_QUEUE_LIMITS"),
            **{name: (getattr(settings, s), f"PRESSROOM_{s.upper()}") for name, s in CEILINGS.items()},
        }
        self._set = {field: limit for field, limit in all_of_them.items() if limit[0] is not None}

    def require(self, said: ExecutionDefaults) -> None:
        """Raise :class:`OverLimit` where ``said`` is more than may be."""
        for field, (most, setting) in self._set.items():
            value = getattr(said, field)
            if value is not None and value > most:
                raise OverLimit(field, value, most, setting)

    def held(self, field: str, value: Any) -> Any:
        """``value``, or the most that the field may be: also where it is ``None``, for no limit at all."""
        if field not in self._set:
            return value
        most, _ = self._set[field]
        return most if value is None else min(value, most)


def require_bulk(settings: Settings, count: int) -> None:
    """Raise :class:`OverLimit` where so many executions may not be submitted together."""
    if count > settings.bulk_limit:
        raise OverLimit("executions", count, settings.bulk_limit, "PRESSROOM_BULK_LIMIT")
