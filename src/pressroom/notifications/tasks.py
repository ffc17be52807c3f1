"""The chore that tells somebody something, with its retries."""

import logging
import random
from asyncio import CancelledError
from typing import Protocol

from procrastinate import App, BaseRetryStrategy, RetryDecision
from procrastinate.exceptions import JobAborted
from procrastinate.jobs import Job

from pressroom.database.session import Database
from pressroom.notebooks.places import Places
from pressroom.notifications import delivery, mail, service
from pressroom.notifications.failures import NotDelivered
from pressroom.notifications.schemas import Channel
from pressroom.notifications.service import Telling
from pressroom.settings import Settings

log = logging.getLogger("pressroom.notifications")
FIRST_PAUSE_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 2 * 3600.0
_FACTOR = 5


class Context(Protocol):
    """What the chore works with."""

    @property
    def database(self) -> Database:
        """Where deliveries are kept."""
        ...

    @property
    def settings(self) -> Settings:
        """How to reach a mail server, and where webhooks may go."""
        ...

    @property
    def places(self) -> Places:
        """Where users' files lie."""
        ...


class Backoff(BaseRetryStrategy):
    """Tries again after 10 s, 50 s, 4 min, 20 min, 1.7 h, 2 h and 2 h, each a quarter shorter or longer by chance.

    Whether a delivery is tried again the chore itself decides, by raising :class:`NotDelivered` or not. Another error
    is a fault of this service or of its database; it is tried twice as often.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """When to try again, if at all."""
        if isinstance(exception, (CancelledError, JobAborted)):  # its worker is stopping
            return RetryDecision(retry_in={"seconds": 0})
        if not isinstance(exception, NotDelivered) and job.attempts >= 2 * service.TRIES:
            return None
        asked = exception.retry_after if isinstance(exception, NotDelivered) else None
        return RetryDecision(retry_in={"seconds": round(pause(job.attempts, asked))})


def pause(attempts: int, asked: float | None = None) -> float:
    """Seconds until the next try, after ``attempts`` earlier ones and the one that just failed.

    ``asked`` is what the receiver asked to wait; it is done so far as it is not longer than the longest pause.
    """
    backoff = min(FIRST_PAUSE_SECONDS * _FACTOR ** min(attempts, 10), LONGEST_PAUSE_SECONDS)
    jittered = backoff * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
    return max(jittered, min(asked or 0.0, LONGEST_PAUSE_SECONDS))


def add_tasks(app: App, context: Context) -> None:
    """Teach ``app`` the chore :data:`~pressroom.notifications.service.TASK`; workers of its queue then deliver."""

    @app.task(name=service.TASK, queue=service.CHORES, retry=Backoff())
    async def deliver(delivery_id: int) -> None:  # pyright: ignore[reportUnusedFunction]
        await tell(context, delivery_id)


async def tell(context: Context, delivery_id: int) -> None:
    """Try a delivery once, and write down how it went. Nothing is done for one that is not pending.

    Raises :class:`NotDelivered` where it is worth another try.
    """
    async with context.database.transaction() as session:
        told = await service.telling(session, delivery_id)
    if told is None:
        return
    failure: NotDelivered | None = None
    try:
        await _send(context, told)
    except NotDelivered as error:
        failure = error
    except Exception as error:  # whatever it is, the record must say it
        log.exception("delivery %s failed inside the service", delivery_id)
        failure = NotDelivered(f"The service failed: {type(error).__name__}")
    async with context.database.transaction() as session:
        over = await service.record(session, told, failure)
    if failure is None:
        log.info("delivery %s: told %s of execution %s", delivery_id, told.notification.id, told.execution.id)
    else:
        log.warning("delivery %s%s: %s", delivery_id, " is given up" if over else "", failure.detail)
        if not over:
            raise failure


async def _send(context: Context, told: Telling) -> None:
    notification = told.notification
    if notification.channel == Channel.EMAIL:
        await mail.send(context.settings, context.places, told)
        return
    await delivery.post(
        notification.target,
        notification.secret or "",
        f"msg_{told.delivery.id}",
        delivery.message(told),
        private=context.settings.webhook_private_addresses,
    )
