"""The chore that writes an execution's run to MLflow, with its retries; executions do not wait for it."""

import asyncio
import json
import logging
import math
from typing import Protocol
from urllib.parse import urlsplit

from procrastinate import App, BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from pressroom.database.models import Execution
from pressroom.database.session import Database
from pressroom.errors import PressroomError, Unavailable, shown
from pressroom.notebooks import outputs
from pressroom.notebooks.places import Places
from pressroom.notifications.tasks import pause
from pressroom.press.masks import MARK
from pressroom.settings import MEBIBYTE, Settings
from pressroom.tracking import runs, service
from pressroom.tracking.facts import ATTEMPT_TAG, experiment_of, marks, output_name, result_names, run_facts
from pressroom.tracking.threads import Deadline, in_thread

log = logging.getLogger("pressroom.tracking")
SAYS_EVERY_SECONDS = 3600.0
WRITE_SECONDS = 300.0
"""How long one try to write a run may take."""
_LAST_SECONDS = 2.0 * runs.TIMEOUT_SECONDS
"""How long the last request that was begun before may take then."""
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
        if isinstance(exception, service.Claimed):
            return RetryDecision(retry_in={"seconds": math.ceil(exception.seconds)})
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
        except Exception:  # else nothing would be tracked any more, a day later, without a word
            log.exception("that executions are tracked cannot be said")
            seconds = _AGAIN_SECONDS
        await asyncio.sleep(seconds)


async def write(context: Context, execution_id: int) -> None:
    """Try to write an execution's run once, and write down how it went. Nothing is done for one that is written.

    MLflow is waited for outside of any transaction; a claim keeps other workers from the run meanwhile. Cancelled, it
    ends when nothing is asked of MLflow any more.

    Raises :class:`NotTracked` where it is worth another try, and :class:`service.Claimed` where another is at it.
    """
    deadline = Deadline(WRITE_SECONDS)
    async with context.database.transaction() as session:
        due = await service.claim(session, execution_id, WRITE_SECONDS + 2 * _LAST_SECONDS)
    if due is None:
        return
    writing = in_thread(lambda: _written(context, due, deadline), deadline)
    try:
        await asyncio.wait({writing}, timeout=WRITE_SECONDS + _LAST_SECONDS)
    except asyncio.CancelledError:
        deadline.leave()
        # A thread that is still waiting then asks for nothing more, and the claim outlasts what it has asked for.
        if (await asyncio.wait({writing}, timeout=_LAST_SECONDS))[0]:
            await _left(context, execution_id, writing)
        writing.cancel()
        raise
    await _record(context, execution_id, writing)


async def _left(context: Context, execution_id: int, writing: asyncio.Future[str]) -> None:
    if writing.exception() is None:
        await _record(context, execution_id, writing)
        return
    async with context.database.transaction() as session:
        await service.release(session, execution_id)


async def _record(context: Context, execution_id: int, writing: asyncio.Future[str]) -> None:
    run_id, failure = None, None
    if not writing.done():
        writing.cancel()
        failure = f"MLflow has not answered within {WRITE_SECONDS + _LAST_SECONDS:g} s"
    elif (error := writing.exception()) is None:
        run_id = writing.result()
    else:  # whatever MLflow or the network does, the record must say it
        failure = _why(context.settings, error)
    async with context.database.transaction() as session:
        over = await service.record(session, execution_id, run_id, failure)
    if failure is None:
        log.info("execution %s is run %s of MLflow", execution_id, run_id)
    else:
        log.warning("execution %s is not tracked%s: %s", execution_id, ", for good" if over else " yet", failure)
        if not over:
            raise NotTracked(failure)


def _written(context: Context, due: service.Due, deadline: Deadline) -> str:
    settings, execution = context.settings, due.execution
    assert settings.mlflow_tracking_uri is not None
    facts = run_facts(execution, due.notebook_name, due.installation, settings.public_url)
    names = result_names({result.name: result.media_type for result in due.results})
    files = {names[result.name]: result.data for result in due.results}
    files |= _output(context, execution)
    return runs.write(settings.mlflow_tracking_uri.get_secret_value(), facts, files, deadline)


def _output(context: Context, execution: Execution) -> dict[str, bytes]:
    """The output notebook by its name. Without one that is its own, or that is not too large, the run has none."""
    limit = int((context.settings.max_notebook_mb + context.settings.max_output_mb) * MEBIBYTE)
    try:
        return {output_name(execution): outputs.read(context.places, execution, limit)}
    except PressroomError as error:
        log.info("the run of execution %s has no output: %s", execution.id, error.detail)
        return {}


def _why(settings: Settings, error: BaseException) -> str:
    """Why it failed, in words, without the secrets that may be in the address."""
    said = f"{type(error).__name__}: {error}"
    if settings.mlflow_tracking_uri is not None:
        address = settings.mlflow_tracking_uri.get_secret_value()
        said = said.replace(address, str(settings.mlflow_uri_of_kernels))
        if secret := urlsplit(address).netloc.rpartition("@")[0]:
            said = said.replace(secret, MARK)
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
