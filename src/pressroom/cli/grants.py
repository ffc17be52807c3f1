"""``pressroom notebooks grant``, ``revoke`` and ``grants``: what others may do with a notebook."""

from json import dumps
from typing import Annotated

import typer

from pressroom.cli.room import WRONG, Room, complain, in_room, out
from pressroom.cli.tables import show_one, show_rows
from pressroom.identity.rights import Level
from pressroom.notebooks import grants as service
from pressroom.notebooks.grant_schemas import GranteeKind, GrantOut

Id = Annotated[int, typer.Argument(help="The notebook's id.", min=1)]
User = Annotated[str | None, typer.Option(help="The user.")]
Group = Annotated[str | None, typer.Option(help="Or the group.")]
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


def _grantee(user: str | None, group: str | None) -> tuple[GranteeKind, str]:
    if (user is None) == (group is None):
        complain("Name either --user or --group.")
        raise typer.Exit(WRONG)
    return (GranteeKind.USER, user) if user is not None else (GranteeKind.GROUP, str(group))


def grant(
    notebook_id: Id,
    level: Annotated[str, typer.Argument(help="viewer: see it; runner: execute it, too; editor: change it, too.")],
    *,
    user: User = None,
    group: Group = None,
    json: Json = False,
) -> None:
    """Let a user or a group see, execute or change a notebook."""
    kind, name = _grantee(user, group)
    if level not in (Level.VIEWER, Level.RUNNER, Level.EDITOR):
        complain(f"{level!r} is no level; write viewer, runner or editor.")
        raise typer.Exit(WRONG)

    async def work(room: Room) -> GrantOut:
        async with room.change("notebooks grant", "grant_a_notebook") as (session, told):
            told |= {"notebook_id": notebook_id, "kind": kind.value, "grantee": name, "level": level}
            made = await service.grant(session, room.caller, notebook_id, kind, name, Level(level))
            return GrantOut.model_validate(made)

    show_one(in_room(work), as_json=json)


def revoke(notebook_id: Id, *, user: User = None, group: Group = None, json: Json = False) -> None:
    """Take back what was granted."""
    kind, name = _grantee(user, group)

    async def work(room: Room) -> None:
        async with room.change("notebooks revoke", "revoke_a_grant") as (session, told):
            told |= {"notebook_id": notebook_id, "kind": kind.value, "grantee": name}
            await service.revoke(session, room.caller, notebook_id, kind, name)

    in_room(work)
    facts = {"notebook_id": notebook_id, "kind": kind.value, "grantee": name, "removed": True}
    out(dumps(facts) if json else f"Notebook {notebook_id} is not granted to the {kind} {name} any more.")


def grants(notebook_id: Id, *, json: Json = False) -> None:
    """List what others may do with a notebook."""

    async def work(room: Room) -> list[GrantOut]:
        async with room.database.transaction() as session:
            rows = await service.of_notebook(session, room.caller, notebook_id)
        return [GrantOut.model_validate(row) for row in rows]

    columns = ("kind", "grantee", "level", "granted_by", "created_at")
    show_rows(in_room(work), columns, as_json=json, empty="It is its owner's alone.")
