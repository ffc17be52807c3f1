"""Notifications: who is told of what, and every telling of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import delete as delete_
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Delivery, Execution, Notebook, Notification
from pressroom.errors import Invalid, NotFound
from pressroom.identity.policy import is_admin, require_admin
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.notifications import targets
from pressroom.notifications.failures import NotDelivered
from pressroom.notifications.schemas import (
    Channel,
    DeliveryOut,
    DeliveryStatus,
    Event,
    NotificationCreate,
    NotificationOut,
)
from pressroom.settings import Settings

CHORES = "pressroom:chores"
"""The queue of everything that is not an execution: deliveries, pruning. ``announce()`` names it too."""
TASK = "deliver"
TRIES = 8
"""How often a delivery is tried before it has failed."""
_ANNOUNCE = text("SELECT announce(:execution, :notebook, :event)")
_NOTIFICATIONS = TypeAdapter(list[NotificationOut])
_DELIVERIES = TypeAdapter(list[DeliveryOut])


async def create(
    session: AsyncSession, settings: Settings, principal: Principal, wanted: NotificationCreate
) -> Notification:
    """Add a notification; a webhook without a secret is given one.

    Raises :class:`NotFound` for a notebook that is not there, :class:`NotAllowed` for another's notebook, or for every
    notebook where the caller is no administrator, and :class:`Invalid` for a target, a secret or a channel that cannot
    be used.
    """
    await _may_tell_of(session, principal, wanted.notebook_id)
    _check_target(settings, wanted.channel, wanted.target)
    if wanted.secret is not None:
        _check_secret(wanted.channel, wanted.secret)
    secret = wanted.secret or (targets.new_secret() if wanted.channel is Channel.WEBHOOK else None)
    fields = wanted.model_dump(mode="json") | {"secret": secret, "username": principal.username}
    notification = Notification(**fields)
    session.add(notification)
    await session.flush()
    await session.refresh(notification)
    return notification


async def get(session: AsyncSession, principal: Principal, notification_id: int) -> Notification:
    """One notification. Raises :class:`NotFound` also for one that is not the caller's to see."""
    notification = await session.get(Notification, notification_id)
    if notification is None or not (is_admin(principal) or notification.username == principal.username):
        raise NotFound("notification", notification_id)
    return notification


async def page(
    session: AsyncSession, principal: Principal, notebook_id: int | None, skip: int, limit: int
) -> tuple[bytes, int, int]:
    """A page of the notifications that the caller may see, by id: its JSON, its length, how many there are in all."""

    def of(statement: Any) -> Any:
        if not is_admin(principal):
            statement = statement.where(Notification.username == principal.username)
        if notebook_id is not None:
            statement = statement.where(Notification.notebook_id == notebook_id)
        return statement

    wanted = of(select(Notification)).order_by(Notification.id).offset(skip).limit(limit)
    rows: Sequence[Any] = (await session.scalars(wanted)).all()
    total = await session.scalar(of(select(func.count(Notification.id))))
    return _NOTIFICATIONS.dump_json(_NOTIFICATIONS.validate_python(rows)), len(rows), int(total or 0)


async def change(
    session: AsyncSession, settings: Settings, principal: Principal, notification_id: int, changes: Mapping[str, Any]
) -> Notification:
    """Change some fields of a notification. Raises as :func:`create`."""
    notification = await get(session, principal, notification_id)
    channel = Channel(notification.channel)
    if "notebook_id" in changes:
        await _may_tell_of(session, principal, changes["notebook_id"])
    if "target" in changes:
        _check_target(settings, channel, changes["target"])
    if "secret" in changes:
        _check_secret(channel, changes["secret"])
    for name, value in changes.items():
        setattr(notification, name, [event.value for event in value] if name == "events" else value)
    await session.flush()
    return notification


async def delete(session: AsyncSession, principal: Principal, notification_id: int) -> None:
    """Delete a notification and the record of its deliveries; what is not yet delivered is not delivered any more."""
    await session.delete(await get(session, principal, notification_id))
    await session.flush()


async def owner_left(session: AsyncSession, notebook_id: int, owner: str) -> None:
    """Tell a notebook's former ``owner`` of it no more: delete what they made, with what is not yet delivered."""
    theirs = delete_(Notification).where(Notification.notebook_id == notebook_id, Notification.username == owner)
    await session.execute(theirs)


async def deliveries(
    session: AsyncSession, principal: Principal, notification_id: int, skip: int, limit: int
) -> tuple[bytes, int, int]:
    """A page of a notification's deliveries, newest first: its JSON, its length, how many there are in all."""
    await get(session, principal, notification_id)
    of_it = Delivery.notification_id == notification_id
    rows = (
        await session.scalars(select(Delivery).where(of_it).order_by(Delivery.id.desc()).offset(skip).limit(limit))
    ).all()
    total = await session.scalar(select(func.count(Delivery.id)).where(of_it))
    return _DELIVERIES.dump_json(_DELIVERIES.validate_python(rows)), len(rows), int(total or 0)


async def announce(session: AsyncSession, execution_id: int, notebook_id: int | None, event: Event) -> int:
    """Have everybody told who wants to know of ``event`` of an execution; how many that are.

    In the transaction of ``session``: what is rolled back is told to nobody. An event that was announced before is not
    told twice. The ends of attempts are announced by ``end_attempt()`` itself.
    """
    facts = {"execution": execution_id, "notebook": notebook_id, "event": event.value}
    return (await session.execute(_ANNOUNCE, facts)).scalar_one()


@dataclass(frozen=True, slots=True)
class Telling:
    """All that is needed to tell of one event."""

    delivery: Delivery
    notification: Notification
    execution: Execution
    notebook_name: str | None

    @property
    def event(self) -> Event:
        """What is told."""
        return Event(self.delivery.event)

    @property
    def name(self) -> str:
        """What people call the notebook: its name in the registry, else that of its file."""
        return self.notebook_name or PurePosixPath(self.execution.input_path).stem


async def telling(session: AsyncSession, delivery_id: int) -> Telling | None:
    """What a pending delivery is to tell; ``None`` where it was told, given up or deleted."""
    wanted = (
        select(Delivery, Notification, Execution, Notebook.name)
        .join(Notification, Notification.id == Delivery.notification_id)
        .join(Execution, Execution.id == Delivery.execution_id)
        .outerjoin(Notebook, Notebook.id == Execution.notebook_id)
        .where(Delivery.id == delivery_id, Delivery.status == DeliveryStatus.PENDING.value)
    )
    found = (await session.execute(wanted)).one_or_none()
    return None if found is None else Telling(found[0], found[1], found[2], found[3])


async def record(session: AsyncSession, told: Telling, failure: NotDelivered | None) -> bool:
    """Write down how a try went; whether it was the last."""
    attempts = told.delivery.attempts + 1
    values: dict[str, Any] = {"attempts": attempts, "status": DeliveryStatus.DELIVERED, "detail": None}
    if failure is None:
        values["delivered_at"] = func.clock_timestamp()
    else:
        gave_up = failure.permanent or attempts >= TRIES
        values |= {
            "status": DeliveryStatus.FAILED if gave_up else DeliveryStatus.PENDING,
            "detail": failure.detail,
        }
    fenced = update(Delivery).where(Delivery.id == told.delivery.id, Delivery.status == DeliveryStatus.PENDING.value)
    await session.execute(fenced.values(**values))
    return values["status"] is not DeliveryStatus.PENDING


async def _may_tell_of(session: AsyncSession, principal: Principal, notebook_id: int | None) -> None:
    if notebook_id is None:
        require_admin(principal, "be told of every notebook; name one with notebook_id")
        return
    await levels.require(session, principal, notebook_id, Level.OWNER)


def _check_target(settings: Settings, channel: Channel, target: str) -> None:
    if channel is Channel.WEBHOOK:
        targets.check_url(target, private=settings.webhook_private_addresses)
        return
    if settings.smtp_url is None:
        raise Invalid("This service sends no e-mail: PRESSROOM_SMTP_URL names no mail server.")
    targets.check_address(target)


def _check_secret(channel: Channel, secret: str) -> None:
    if channel is not Channel.WEBHOOK:
        raise Invalid("Only a webhook has a secret.")
    targets.check_secret(secret)
