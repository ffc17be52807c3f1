"""The command ``pressroom``."""

from typing import Annotated

import typer

from pressroom import __version__
from pressroom.cli import db, executions, notebooks, notifications, parameters
from pressroom.cli.pairs import PairsCommand
from pressroom.cli.prune import prune
from pressroom.cli.run import run
from pressroom.cli.serve import serve
from pressroom.cli.staff import queues, workers
from pressroom.cli.submit import submit
from pressroom.cli.worker import worker

app = typer.Typer(
    name="pressroom",
    help="Turn Jupyter notebooks into jobs: typed parameters in, a recorded execution out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(serve)
app.command()(worker)
app.command(cls=PairsCommand)(run)
app.command(cls=PairsCommand)(submit)
app.command()(workers)
app.command()(queues)
app.command()(prune)
app.add_typer(notebooks.app, name="notebooks")
app.add_typer(parameters.app, name="parameters")
app.add_typer(executions.app, name="executions")
app.add_typer(notifications.app, name="notifications")
app.add_typer(db.app, name="db")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pressroom {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    """Turn Jupyter notebooks into jobs."""
