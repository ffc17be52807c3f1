"""The chore that writes an execution's run to MLflow, with its retries; executions do not wait for it."""

import asyncio
import json
import logging
from typing import Protocol

from procrastinate import App, BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.errors import PressroomError, Unavailable, shown
from pressroom.notebooks import outputs
from pressroom.notebooks.places import Places
from pressroom.notifications.tasks import pause
from pressroom.settings import MEBIBYTE, Settings
from pressroom.tracking import runs, service
from pressroom.tracking.facts import ATTEMPT_TAG, experiment_of, marks, output_name, result_names, run_facts

log = logging.getLogger("pressroom.tracking")
AT_ONCE = 2
"""How many runs a worker writes at once."""
SAYS_EVERY_SECONDS = 3600.0
_AGAIN_SECONDS = 5.0
_LONGEST_DETAIL = 500


class Context(Protocol):
    """What the chore works with."""

    @property
    def database(self) -> Database:
        """Where it is known what is to be written."""
        ...

    @property
    def settings(self) -> Settings:
        """Where MLflow is."""
        ...

    @property
    def places(self) -> Places:
        """Where users' files lie."""
        ...


class NotTracked(Exception):
    """A try to write a run failed, and is worth another one."""


class Backoff(BaseRetryStrategy):
    """Tries again as the deliveries of notifications do: after 10 s, 50 s, 4 min, 20 min, 1.7 h, and then every 2 h."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again, if at all. The chore itself ends the tries, by not raising."""
        if isinstance(exception, (asyncio.CancelledError, JobAborted)):  # its worker is stopping
            return RetryDecision(retry_in={"seconds": 0})
        if not isinstance(exception, NotTracked) and job.attempts >= 2 * service.TRIES:
            return None
        return RetryDecision(retry_in={"seconds": round(pause(job.attempts))})


def tracks(settings: Settings) -> bool:
    """Whether a worker of these settings writes runs."""
    return settings.mlflow_tracking_uri is not None and runs.installed()


def add_tasks(app: App, context: Context) -> None:
    """Teach ``app`` the chore; workers of its queue then write runs."""

    @app.task(name=service.TASK, queue=service.QUEUE, retry=Backoff())
    async def track(execution_id: int) -> None:  # pyright: ignore[reportUnusedFunction]
        await write(context, execution_id)


async def say_now_and_then(database: Database) -> None:
    """Say for ever that this worker tracks, so that the executions that end are noted."""
    while True:
        seconds = SAYS_EVERY_SECONDS
        try:
            async with database.transaction() as session:
                await service.say_that_we_track(session)
        except Unavailable as error:
            log.warning("that executions are tracked cannot be said: %s", error.detail)
            seconds = _AGAIN_SECONDS
        await asyncio.sleep(seconds)


async def write(context: Context, execution_id: int) -> None:
    """Try to write an execution's run once, and write down how it went. Nothing is done for one that is written, or
    that another worker writes.

    Raises :class:`NotTracked` where it is worth another try.
    """
    async with context.database.transaction() as session:
        due = await service.due(session, execution_id)
        if due is None:
            return
        run_id, failure = None, None
        try:
            run_id = await asyncio.to_thread(_written, context, due)
        except Exception as error:  # whatever MLflow or the network does, the record must say it
            log.debug("execution %s could not be tracked", execution_id, exc_info=True)
            failure = _why(context.settings, error)
        over = await service.record(session, execution_id, run_id, failure)
    if failure is None:
        log.info("execution %s is run %s of MLflow", execution_id, run_id)
    else:
        log.warning("execution %s is not tracked%s: %s", execution_id, ", for good" if over else " yet", failure)
        if not over:
            raise NotTracked(failure)


def _written(context: Context, due: service.Due) -> str:
    settings, execution = context.settings, due.execution
    assert settings.mlflow_tracking_uri is not None
    facts = run_facts(execution, due.notebook_name, due.installation, settings.public_url)
    names = result_names({result.name: result.media_type for result in due.results})
    files = {names[result.name]: result.data for result in due.results}
    files |= _output(context, execution)
    return runs.write(settings.mlflow_tracking_uri.get_secret_value(), facts, files)


def _output(context: Context, execution: Execution) -> dict[str, bytes]:
    """The output notebook by its name. Without one that is its own, or that is not too large, the run has none."""
    limit = int((context.settings.max_notebook_mb + context.settings.max_output_mb) * MEBIBYTE)
    try:
        return {output_name(execution): outputs.read(context.places, execution, limit)}
    except PressroomError as error:
        log.info("the run of execution %s has no output: %s", execution.id, error.detail)
        return {}


def _why(settings: Settings, error: Exception) -> str:
    """Why it failed, in words, without the secrets that may be in the address."""
    said = f"{type(error).__name__}: {error}"
    if settings.mlflow_tracking_uri is not None:
        said = said.replace(settings.mlflow_tracking_uri.get_secret_value(), str(settings.mlflow_uri_of_kernels))
    return shown(said, _LONGEST_DETAIL)


async def kernel_environment(
    context: Context, execution_id: int, attempt: int, notebook_id: int | None, input_path: str
) -> dict[str, str]:
    """What a kernel is told, so that the runs that its notebook begins are the execution's: MLflow's own variables. If
    that cannot be asked for, nothing: the execution goes on without."""
    address = context.settings.mlflow_uri_of_kernels
    if address is None:
        return {}
    try:
        async with context.database.transaction() as session:
            belongs = await service.experiment(session, notebook_id)
    except PressroomError as error:
        log.warning("the kernel of execution %s is not told of MLflow: %s", execution_id, error.detail)
        return {}
    except Exception:  # an execution does not fail for MLflow's sake
        log.exception("the kernel of execution %s is not told of MLflow", execution_id)
        return {}
    if belongs is None:
        return {}
    name, installation = belongs
    return {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_EXPERIMENT_NAME": experiment_of(name, input_path),
        "MLFLOW_RUN_CONTEXT": json.dumps({**marks(execution_id, installation), ATTEMPT_TAG: str(attempt)}),
    }
