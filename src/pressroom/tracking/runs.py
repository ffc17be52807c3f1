# MLflow ships its types in parts only: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false
"""Writes runs by MLflow's own client, which blocks: call it in a thread. MLflow is imported when it is first needed."""

import importlib.util
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pressroom.tracking.facts import ATTEMPT_TAG, STATUS_TAG, RunFacts

T = TypeVar("T")
TIMEOUT_SECONDS = 10
_PARAMS_AT_ONCE, _METRICS_AT_ONCE, _TAGS_AT_ONCE = 100, 1000, 100
_USUAL = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the chore is tried again, and keeps no thread meanwhile
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""How MLflow's client behaves where the environment does not say."""


def installed() -> bool:
    """Whether there is MLflow's client."""
    return importlib.util.find_spec("mlflow") is not None


def write(uri: str, facts: RunFacts, files: Mapping[str, bytes]) -> str:
    """Write an execution's run, with ``files`` by their paths, and answer its id. Written again, it is the same run.

    Raises MLflow's errors, and those of the file system and the network.
    """
    client = _client(uri)
    experiment_id = _experiment(client, facts.experiment)
    run = _found(client, experiment_id, facts)
    if run is None:
        run = client.create_run(experiment_id, facts.started_ms, dict(facts.marks), facts.name)
    run_id = str(run.info.run_id)
    _log(client, run_id, facts, known=run.data.params)
    with TemporaryDirectory(prefix="pressroom-mlflow-") as folder:
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
        client.log_artifacts(run_id, folder)
    client.set_terminated(run_id, facts.status, facts.ended_ms)
    return run_id


def _client(uri: str) -> Any:
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - it takes seconds, and not everybody has it

    return MlflowClient(tracking_uri=uri)


def _experiment(client: Any, name: str) -> str:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    if (known := client.get_experiment_by_name(name)) is not None:
        return str(known.experiment_id)
    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return str(client.get_experiment_by_name(name).experiment_id)


def _found(client: Any, experiment_id: str, facts: RunFacts) -> Any | None:
    """The run that this execution is already: one that was written before, else the first that the last attempt's own
    code began."""
    known = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in facts.marks.items())
    runs = list(client.search_runs([experiment_id], known, order_by=["attributes.start_time ASC"]))
    written = [run for run in runs if STATUS_TAG in run.data.tags]
    begun = [run for run in runs if run.data.tags.get(ATTEMPT_TAG) == facts.tags[ATTEMPT_TAG]]
    unsaid = [run for run in runs if ATTEMPT_TAG not in run.data.tags]  # made by us, and not written to the end
    return next(iter([*written, *begun, *unsaid]), None)


def _log(client: Any, run_id: str, facts: RunFacts, known: Mapping[str, str]) -> None:
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    # What the notebook's own code has logged by the same name stays: a parameter of a run cannot be changed.
    params = {name: value for name, value in facts.params.items() if name not in known}
    for some in _parts(params, _PARAMS_AT_ONCE):
        client.log_batch(run_id, params=[Param(*pair) for pair in some.items()])
    for some in _parts(facts.metrics, _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=[Metric(*pair, facts.ended_ms, 0) for pair in some.items()])
    for some in _parts(facts.tags, _TAGS_AT_ONCE):
        client.log_batch(run_id, tags=[RunTag(*pair) for pair in some.items()])


def _parts(facts: Mapping[str, T], size: int) -> Iterator[dict[str, T]]:
    pairs = iter(facts.items())
    while part := dict(islice(pairs, size)):
        yield part
