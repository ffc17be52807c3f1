"""``pressroom db``: the schema of the database."""

from json import dumps
from typing import Annotated

import typer

from pressroom.cli.room import FAILED, complain, explained, out
from pressroom.cli.whole_database import whole_database
from pressroom.database import migrate
from pressroom.database.url import safe

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the schema to this version's revision. It can be run again without harm.

    There is no downgrade: make a copy of the database first, see docs/how-to/upgrade.md.
    """

    def work() -> None:
        with whole_database() as url:
            migrate.upgrade(url)
            typer.echo(f"{safe(url)} is at revision {migrate.check(url).current}.")

    explained(work)


@app.command()
def check(*, json: Annotated[bool, typer.Option("--json", help="Answer JSON.")] = False) -> None:
    """Say whether the schema is the one that this version needs; exits with 1 where it is not."""

    def work() -> None:
        with whole_database() as url:
            state = migrate.check(url)
        if json:
            facts = {
                "current": state.current,
                "needed": state.head,
                "differences": state.differences,
                "ready": state.up_to_date,
            }
            out(dumps({"database": safe(url), **facts}, indent=2, default=str))
        elif state.current != state.head:
            complain(
                f"{safe(url)} is at revision {state.current or 'none'}, and this version needs {state.head}; "
                "run `pressroom db upgrade`."
            )
        elif state.differences:
            complain(f"{safe(url)} is at revision {state.head}, but was changed by hand: {state.differences}")
        else:
            out(f"{safe(url)} is at revision {state.head}, as this version needs it.")
        if not state.up_to_date:
            raise typer.Exit(FAILED)

    explained(work)
