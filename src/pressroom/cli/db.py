"""``pressroom db``: the schema of the database."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy import URL

from pressroom.cli.room import FAILED, complain, explained
from pressroom.database import migrate
from pressroom.database.embedded import EmbeddedServer
from pressroom.database.url import normalise, safe
from pressroom.settings import Settings

app = typer.Typer(help="The schema of the database.", no_args_is_help=True)


@contextmanager
def _database() -> Iterator[URL]:
    settings = Settings()
    if settings.database_url is not None:
        yield normalise(settings.database_url.get_secret_value())
        return
    server = EmbeddedServer(settings.data_dir)
    try:
        yield server.start()
    finally:
        server.stop()


@app.command()
def upgrade() -> None:
    """Bring the schema to this version's revision. It can be run again without harm."""

    def work() -> None:
        with _database() as url:
            migrate.upgrade(url)
            typer.echo(f"{safe(url)} is at revision {migrate.check(url).current}.")

    explained(work)


@app.command()
def check() -> None:
    """Say whether the schema is the one that this version needs; exits with 1 where it is not."""

    def work() -> None:
        with _database() as url:
            state = migrate.check(url)
            if state.current != state.head:
                complain(
                    f"{safe(url)} is at revision {state.current or 'none'}, and this version needs {state.head}; "
                    "run `pressroom db upgrade`."
                )
                raise typer.Exit(FAILED)
            if state.differences:
                complain(f"{safe(url)} is at revision {state.head}, but was changed by hand: {state.differences}")
                raise typer.Exit(FAILED)
            typer.echo(f"{safe(url)} is at revision {state.head}, as this version needs it.")

    explained(work)
