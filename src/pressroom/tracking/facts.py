"""What an execution tells MLflow, in the form that MLflow takes it."""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from mimetypes import guess_extension
from posixpath import normpath
from typing import Any

from pressroom.executions.states import Status
from pressroom.press.results import PARQUET, TABLE

EXECUTION_TAG, ATTEMPT_TAG, INSTALLATION_TAG, STATUS_TAG = (
    f"pressroom.{name}" for name in ("execution_id", "attempt", "installation", "status")
)
_STATUSES = {Status.SUCCESS: "FINISHED", Status.FAILED: "FAILED", Status.CANCELLED: "KILLED"}
_LONGEST_NAME, _LONGEST_PARAMETER, _LONGEST_TAG, _LONGEST_EXPERIMENT = 250, 6000, 5000, 500
_LONGEST_FILE, _MARK = 200, 9
_ENDINGS = {PARQUET: ".parquet", TABLE: ".json"}
_NOT_IN_NAMES = re.compile(r"[^\w\-./ :]")
_NOT_IN_FILES = re.compile(r"[^\w\-. ()+,=@]")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """An execution as a run. Times are milliseconds since 1970. ``marks`` are the tags that it is known by."""

    experiment: str
    name: str
    status: str
    started_ms: int
    ended_ms: int
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    marks: Mapping[str, str]


def marks(execution_id: int, installation: str) -> dict[str, str]:
    """The tags that an execution's run is known by, among those of other services on the same MLflow server too."""
    return {EXECUTION_TAG: str(execution_id), INSTALLATION_TAG: installation}


def experiment_of(notebook_name: str | None, input_path: str) -> str:
    """The experiment that a notebook's runs belong to: its name, or its path where it is not registered."""
    return (notebook_name or input_path)[:_LONGEST_EXPERIMENT]


def run_facts(execution: Any, notebook_name: str | None, installation: str, public_url: str | None) -> RunFacts:
    """What MLflow is told of ``execution``, the row of one that has ended; secret parameters are masked in it."""
    results: Mapping[str, Any] = execution.results or {}
    numbers = {name: number for name, value in results.items() if (number := _number(value)) is not None}
    others = {f"result.{name}": _text(value) for name, value in results.items() if name not in numbers}
    known = marks(execution.id, installation)
    parameters: Mapping[str, Any] = execution.parameters_used or {}
    own = ("notebook_id", "username", "submitted_by", "attempt", "queue", "batch_id", "batch_index", "schedule_id")
    told = {f"pressroom.{name}": getattr(execution, name) for name in own}
    told |= {
        STATUS_TAG: execution.status,
        "pressroom.notebook": notebook_name,
        "pressroom.scheduled_at": execution.scheduled_at and execution.scheduled_at.isoformat(),
        "pressroom.error": execution.error_message,
        "pressroom.url": public_url and f"{public_url}/db/executions/{execution.id}",
        "mlflow.user": execution.username,
        "mlflow.source.name": execution.input_path,
        "mlflow.source.type": "NOTEBOOK",
    }
    tags = known | {name: str(value) for name, value in told.items() if value is not None} | others
    return RunFacts(
        experiment=experiment_of(notebook_name, execution.input_path),
        name=f"execution {execution.id}",
        status=_STATUSES[Status(execution.status)],
        started_ms=_milliseconds(execution.started_at or execution.submitted_at),
        ended_ms=_milliseconds(execution.completed_at),
        params=_named({name: _text(value) for name, value in parameters.items()}),
        metrics=_named(numbers),
        tags={name: value[:_LONGEST_TAG] for name, value in _named(tags).items()},
        marks=known,
    )


def output_name(execution: Any) -> str:
    """What the output notebook is called in MLflow."""
    return _file_name(str(execution.output_path).rpartition("/")[2])


def result_names(media_types: Mapping[str, str]) -> dict[str, str]:
    """What the results are called in MLflow that are images, tables and the like, of which ``media_types`` are."""
    endings = {name: _ENDINGS.get(media) or guess_extension(media) or "" for name, media in media_types.items()}
    files = {name: (_file_name(name), ending) for name, ending in endings.items()}
    times = Counter("".join(file) for file in files.values())
    told_apart = {name: _mark(name) if times["".join(file)] > 1 else "" for name, file in files.items()}
    return {name: f"results/{stem}{told_apart[name]}{ending}" for name, (stem, ending) in files.items()}


def _file_name(name: str) -> str:
    """A name that can be a part of a path, and of an address that is decoded before it is read."""
    cut = _NOT_IN_FILES.sub("_", name).encode()[:_LONGEST_FILE].decode(errors="ignore")
    return cut.strip(". ") or "_"


def _named(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts by names that MLflow takes; of texts as much as it takes. Names that would be the same differ by a mark."""
    names = {name: _name(name) for name in facts}
    times = Counter(names.values())
    kept = {name: plain == name or times[plain] == 1 for name, plain in names.items()}
    return {
        plain if kept[name] else plain[: _LONGEST_NAME - _MARK] + _mark(name): (
            value[:_LONGEST_PARAMETER] if isinstance(value, str) else value
        )
        for (name, plain), value in zip(names.items(), facts.values(), strict=True)
    }


def _mark(name: str) -> str:
    return f"-{sha256(name.encode(errors='surrogatepass')).hexdigest()}"[:_MARK]


def _name(name: str) -> str:
    plain = _NOT_IN_NAMES.sub("_", name)[:_LONGEST_NAME]
    is_path = plain == normpath(plain) and not plain.startswith((".", "/"))
    return plain if is_path else plain.replace("/", "_").replace("..", "__").strip(".") or "_"


def _number(value: Any) -> float | None:
    """A metric; ``None`` for what is none: MLflow's are finite floats."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
