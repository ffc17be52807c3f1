"""Notifications over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from pressroom.api import (
    PAGE,
    Facts,
    Id,
    Limit,
    Owner,
    Page,
    Reader,
    Skip,
    TheParts,
    Transaction,
    Writer,
    page_response,
    problems,
)
from pressroom.callers_first import CallerFirst
from pressroom.errors import Invalid, NotAllowed, NotFound
from pressroom.notifications import service
from pressroom.notifications.schemas import (
    DeliveryOut,
    NotificationCreate,
    NotificationCreated,
    NotificationOut,
    NotificationUpdate,
)
from pressroom.wire import MAX_ID

router = APIRouter(prefix="/db/notifications", tags=["notifications"], route_class=CallerFirst)


@router.post("", status_code=201, responses=problems(NotAllowed, NotFound, Invalid))
async def add_a_notification(
    wanted: NotificationCreate, session: Transaction, parts: TheParts, caller: Owner, facts: Facts
) -> NotificationCreated:
    """Have a webhook or an e-mail address told of how executions end, those of one notebook or of all.

    A webhook is signed by [Standard Webhooks](https://www.standardwebhooks.com) with the `secret`, which is in this
    answer and in no later one."""
    facts["notebook_id"] = wanted.notebook_id
    notification = await service.create(session, parts.settings, caller, wanted)
    facts["notification_id"] = notification.id
    return NotificationCreated.model_validate(notification)


@router.get("", response_model=list[NotificationOut], responses=PAGE | problems(Invalid))
async def list_notifications(
    request: Request,
    session: Transaction,
    caller: Reader,
    skip: Skip = 0,
    limit: Limit = 100,
    notebook_id: Annotated[int | None, Query(ge=1, le=MAX_ID, description="Only those of this notebook.")] = None,
) -> Response:
    """The notifications that the caller made, or for an administrator all of them, by id."""
    page = Page(*await service.page(session, caller, notebook_id, skip, limit))
    return page_response(request, page, skip, limit)


@router.get("/{notification_id}", responses=problems(NotFound, Invalid))
async def read_a_notification(notification_id: Id, session: Transaction, caller: Reader) -> NotificationOut:
    """One notification, without its secret."""
    return NotificationOut.model_validate(await service.get(session, caller, notification_id))


@router.put("/{notification_id}", responses=problems(NotAllowed, NotFound, Invalid))
async def change_a_notification(
    notification_id: Id, wanted: NotificationUpdate, session: Transaction, parts: TheParts, caller: Writer
) -> NotificationOut:
    """Change the fields that are sent; the others stay as they are. The channel cannot be changed."""
    changed = await service.change(session, parts.settings, caller, notification_id, wanted.changes())
    return NotificationOut.model_validate(changed)


@router.delete("/{notification_id}", status_code=204, responses=problems(NotFound, Invalid))
async def delete_a_notification(notification_id: Id, session: Transaction, caller: Writer) -> None:
    """Tell no more, not even of what has happened already and is waiting to be told."""
    await service.delete(session, caller, notification_id)


@router.get(
    "/{notification_id}/deliveries",
    response_model=list[DeliveryOut],
    responses=PAGE | problems(NotFound, Invalid),
)
async def list_deliveries_of_a_notification(
    notification_id: Id, request: Request, session: Transaction, caller: Reader, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """What was told, newest first: each event of each execution, whether it was taken, and why not."""
    page = Page(*await service.deliveries(session, caller, notification_id, skip, limit))
    return page_response(request, page, skip, limit)
