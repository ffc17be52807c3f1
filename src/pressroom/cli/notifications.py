"""``pressroom notifications``: who is told how executions end."""

from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom.cli.room import Room, in_room, out
from pressroom.cli.tables import show_removed, show_rows
from pressroom.notifications import service
from pressroom.notifications.schemas import (
    Channel,
    DeliveryOut,
    Event,
    NotificationCreate,
    NotificationCreated,
    NotificationOut,
)
from pressroom.wire import MAX_ID

app = typer.Typer(help="Who is told how executions end.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]
Id = Annotated[int, typer.Argument(help="The notification's id.", min=1, max=MAX_ID)]
Limit = Annotated[int, typer.Option(min=1, max=1000)]


@app.command("list")
def list_(
    *,
    notebook: Annotated[int | None, typer.Option(help="Those of this notebook.", min=1, max=MAX_ID)] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List who is told of what."""

    async def work(room: Room) -> list[NotificationOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.page(session, room.caller, notebook, 0, limit)
        return TypeAdapter(list[NotificationOut]).validate_json(body)

    columns = ("id", "notebook_id", "channel", "target", "events")
    show_rows(in_room(work), columns, as_json=json, empty="Nobody is told of anything.")


@app.command()
def add(
    channel: Annotated[Channel, typer.Argument(help="How it is told.")],
    target: Annotated[str, typer.Argument(help="The URL of a webhook, or an e-mail address.")],
    *,
    on: Annotated[list[Event], typer.Option("--on", help="Of what it is told; may be given several times.")],
    notebook: Annotated[
        int | None, typer.Option(help="The notebook; if left out, every notebook.", min=1, max=MAX_ID)
    ] = None,
    secret: Annotated[
        str | None, typer.Option(help="What a webhook is signed with; if left out, one is made and shown this once.")
    ] = None,
    json: Json = False,
) -> None:
    """Have a webhook or an e-mail address told how executions end."""

    async def work(room: Room) -> NotificationCreated:
        wanted = NotificationCreate(channel=channel, target=target, events=on, notebook_id=notebook, secret=secret)
        async with room.change("notifications add", "add_a_notification") as (session, told):
            made = await service.create(session, room.settings, room.caller, wanted)
            told |= {"notification_id": made.id, "notebook_id": made.notebook_id}
            return NotificationCreated.model_validate(made)

    made = in_room(work)
    if json:
        out(made.model_dump_json(indent=2))
        return
    of = f"notebook {made.notebook_id}" if made.notebook_id is not None else "every notebook"
    out(f"Notification {made.id}: {made.target} is told of {of}: {', '.join(made.events)}.")
    if made.secret is not None and secret is None:
        out(f"Its secret, shown this once: {made.secret}")


@app.command()
def remove(notification_id: Id, *, json: Json = False) -> None:
    """Tell no more; what was not delivered yet is not delivered, and the record of deliveries goes."""

    async def work(room: Room) -> None:
        async with room.change("notifications remove", "delete_a_notification") as (session, told):
            told["notification_id"] = notification_id
            await service.delete(session, room.caller, notification_id)

    in_room(work)
    show_removed(notification_id, f"Notification {notification_id} tells no more.", as_json=json)


@app.command()
def deliveries(notification_id: Id, *, limit: Limit = 20, json: Json = False) -> None:
    """List what was told, newest first."""

    async def work(room: Room) -> list[DeliveryOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.deliveries(session, room.caller, notification_id, 0, limit)
        return TypeAdapter(list[DeliveryOut]).validate_json(body)

    columns = ("id", "execution_id", "event", "status", "attempts", "created_at", "delivered_at", "detail")
    show_rows(in_room(work), columns, as_json=json, empty="Nothing was told yet.")
