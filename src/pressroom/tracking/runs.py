# MLflow ships its types in parts only: what comes from it is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false
"""Writes runs by MLflow's own client, which blocks: call it in a thread. MLflow is imported when it is first needed."""

import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from pressroom.tracking.facts import ATTEMPT_TAG, STATUS_TAG, RunFacts
from pressroom.tracking.threads import Deadline

T = TypeVar("T")
log = logging.getLogger("pressroom.tracking")
TIMEOUT_SECONDS = 10
"""How long a request waits for MLflow to say something."""
_OF_THE_FILE = frozenset({400, 413, 414, 415, 422})
"""How a server says that it is the file that it does not take."""
_PARAMS_AT_ONCE, _METRICS_AT_ONCE, _TAGS_AT_ONCE = 100, 1000, 100
_USUAL = {
    "MLFLOW_CONFIGURE_LOGGING": "false",  # it would take SQLAlchemy's log for its own
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(TIMEOUT_SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",  # the chore is tried again, and keeps no thread meanwhile
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""How MLflow's client behaves where the environment does not say."""


def installed() -> bool:
    """Whether there is MLflow's client."""
    return importlib.util.find_spec("mlflow") is not None


class _Client:
    """MLflow's client, of which nothing is asked after the deadline."""

    def __init__(self, client: Any, deadline: Deadline) -> None:
        self._client, self._deadline = client, deadline

    def __getattr__(self, name: str) -> Any:
        self._deadline.check()
        return getattr(self._client, name)


def write(uri: str, facts: RunFacts, files: Mapping[str, bytes], deadline: Deadline) -> str:
    """Write an execution's run, with ``files`` by their paths, and answer its id. Written again, it is the same run.

    A file that MLflow refuses is left out, and the log says so. Raises :class:`Late`, MLflow's errors, and those of the
    file system and the network.
    """
    client = _client(uri, deadline)
    experiment_id = _experiment(client, facts.experiment)
    run = _found(client, experiment_id, facts)
    if run is None:
        made = client.create_run(experiment_id, facts.started_ms, dict(facts.marks), facts.name)
        # Somebody else may have made one meanwhile: a request that nobody waited for any more, say.
        run = _found(client, experiment_id, facts) or made
    run_id = str(run.info.run_id)
    _log(client, run_id, facts, known=run.data.params)
    try:
        _log_files(client, run_id, files)
    finally:  # without its files too it has ended
        client.set_terminated(run_id, facts.status, facts.ended_ms)
    return run_id


def _log_files(client: Any, run_id: str, files: Mapping[str, bytes]) -> None:
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from requests import HTTPError  # noqa: PLC0415 - MLflow's own

    with TemporaryDirectory(prefix="pressroom-mlflow-") as folder:
        for name, data in files.items():
            path = Path(folder, name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            try:
                client.log_artifact(run_id, str(path), name.rpartition("/")[0] or None)
            except MlflowException as error:
                _pass_over(error, error.get_http_status_code(), name)
            except HTTPError as error:
                _pass_over(error, 0 if error.response is None else error.response.status_code, name)
            path.unlink()


def _pass_over(error: Exception, status: int, name: str) -> None:
    if status not in _OF_THE_FILE:
        raise error
    log.warning("a run goes without %r, which MLflow refuses: %s", name, status)


def _client(uri: str, deadline: Deadline) -> Any:
    for name, value in _USUAL.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient  # noqa: PLC0415 - it takes seconds, and not everybody has it

    return _Client(MlflowClient(tracking_uri=uri), deadline)


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
    code began, else one that was made here and not written to the end. Others that were made here are deleted."""
    known = " AND ".join(f"tags.`{name}` = '{value}'" for name, value in facts.marks.items())
    runs = list(client.search_runs([experiment_id], known, order_by=["attributes.start_time ASC"]))
    written = [run for run in runs if STATUS_TAG in run.data.tags]
    begun = [run for run in runs if run.data.tags.get(ATTEMPT_TAG) == facts.tags[ATTEMPT_TAG]]
    # Whoever looks chooses the same one, whatever the order in which a server tells of them.
    made = sorted((run for run in runs if ATTEMPT_TAG not in run.data.tags), key=lambda run: str(run.info.run_id))
    chosen = next(iter([*written, *begun, *made]), None)
    for run in made:
        if run is not chosen:
            client.delete_run(str(run.info.run_id))
    return chosen


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
