"""``pressroom tokens``: personal access tokens."""

from datetime import UTC, datetime
from json import dumps
from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom.cli.room import Room, in_room, out
from pressroom.cli.tables import show_rows
from pressroom.cli.times import span
from pressroom.identity import tokens as service
from pressroom.identity.principal import Scope
from pressroom.identity.token_schemas import TokenMade, TokenOut, TokenWanted, given

app = typer.Typer(help="Tokens for programs.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Answer JSON.")]


@app.command()
def create(
    *,
    scope: Annotated[
        list[Scope], typer.Option(help="What it may be used for, several times for several; most bring read.")
    ],
    expires: Annotated[str, typer.Option(help="For how long it is valid, such as 90d or 12h.")] = "90d",
    name: Annotated[str, typer.Option(help="What it is for.")] = "token",
    user: Annotated[str | None, typer.Option(help="Whose it is; else yours.")] = None,
    group: Annotated[list[str] | None, typer.Option(help="A group of that user; may be given several times.")] = None,
    json: Json = False,
) -> None:
    """Make a token and print it. It is shown this once."""
    valid = span(expires)

    async def work(room: Room) -> TokenMade:
        wanted = TokenWanted(
            name=name, scopes=scope, expires_at=datetime.now(UTC) + valid, username=user, groups=group or []
        )
        async with room.change("tokens create", "make_a_token") as (session, told):
            made, secret = await service.create(session, room.caller, wanted)
            told |= {"token_id": made.id, "username": made.username, "scopes": made.scopes}
            return given(made, secret)

    made = in_room(work)
    if json:
        out(made.model_dump_json(indent=2))
        return
    until = f"{made.expires_at:%Y-%m-%d}"
    typer.echo(f"Token {made.id} of {made.username}, until {until}; it is not shown again:", err=True)
    out(made.token)


@app.command("list")
def list_(*, limit: Annotated[int, typer.Option(min=1, max=1000)] = 100, json: Json = False) -> None:
    """List the tokens, with their last use."""

    async def work(room: Room) -> list[TokenOut]:
        async with room.database.transaction() as session:
            body, _, _ = await service.page(session, room.caller, 0, limit)
        return TypeAdapter(list[TokenOut]).validate_json(body)

    columns = ("id", "username", "name", "scopes", "expires_at", "last_used_at", "revoked_at")
    show_rows(in_room(work), columns, as_json=json, empty="There is no token.")


@app.command()
def revoke(token_id: Annotated[int, typer.Argument(help="The token's id.", min=1)], *, json: Json = False) -> None:
    """Make a token worthless at once."""

    async def work(room: Room) -> None:
        async with room.change("tokens revoke", "revoke_a_token") as (session, told):
            told["token_id"] = token_id
            await service.revoke(session, room.caller, token_id)

    in_room(work)
    out(dumps({"id": token_id, "revoked": True}) if json else f"Token {token_id} is worth nothing any more.")
