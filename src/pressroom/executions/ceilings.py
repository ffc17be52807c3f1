"""What an execution may use at most, whoever says it: memory, processor time, processes."""

from typing import Any

from pressroom.errors import Invalid
from pressroom.executions.options import ExecutionDefaults
from pressroom.settings import Settings

CEILINGS = {"memory_mb": "max_memory_mb", "cpu_seconds": "max_cpu_seconds", "max_processes": "max_processes"}
"""The limits on what an execution uses, and the setting that is the ceiling of each."""


def require_within(said: ExecutionDefaults, settings: Settings) -> None:
    """Raise :class:`Invalid`, naming the limit, where one that is said is over its ceiling.

    Facts: ``field``, ``value``, ``limit``, ``setting`` (its variable).
    """
    for name, setting in CEILINGS.items():
        value, ceiling = getattr(said, name), getattr(settings, setting)
        if value is not None and ceiling is not None and value > ceiling:
            variable = f"PRESSROOM_{setting.upper()}"
            sentence = f"{value:.15g} is more than {ceiling:.15g}, the most that this service allows ({variable})."
            raise Invalid(f"{name}: {sentence}", field=name, value=value, limit=ceiling, setting=variable)


def used(said: ExecutionDefaults, otherwise: ExecutionDefaults, settings: Settings) -> dict[str, Any]:
    """The limits of an execution: as is said, else ``otherwise``, else the ceilings, which what was said before they
    were set does not go over either."""
    found: dict[str, Any] = {}
    for name, setting in CEILINGS.items():
        value, ceiling = getattr(said, name), getattr(settings, setting)
        value = getattr(otherwise, name) if value is None else value
        found[name] = min(value, ceiling) if value is not None and ceiling is not None else value or ceiling
    return found
