"""The command ``pressroom``. A command's module, and all that it needs, is imported when the command is called."""

from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

from pressroom import __version__
from pressroom.cli.start import leaving_on_ctrl_c


class Named(NamedTuple):
    """Where a command, or a group of them, is, and what the list of commands says of it: its own first sentence."""

    place: str
    says: str
    pairs: bool = False

    def load(self, name: str) -> Any:
        """The command itself."""
        module, _, attribute = self.place.partition(":")
        with leaving_on_ctrl_c():
            found = getattr(import_module(f"pressroom.cli.{module}"), attribute)
            pairs = import_module("pressroom.cli.pairs").PairsCommand
        holder = typer.Typer(add_completion=False)
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name, cls=pairs if self.pairs else None)(found)
        holder.callback()(lambda: None)  # else one command alone would be no group
        return typer.main.get_group(holder).commands[name]


COMMANDS = {
    "serve": Named("serve:serve", "Run the service: the API, and the executions."),
    "worker": Named("worker:worker", "Run a worker."),
    "run": Named("run:run", "Execute a notebook and record it in the history.", pairs=True),
    "submit": Named(
        "submit:submit",
        "Put an execution into the queue and print its id; a worker or the service executes it.",
        pairs=True,
    ),
    "workers": Named("staff:workers", "List the workers: where they are, which queues they serve, and what they run."),
    "kernels": Named("kernels:app", "The kernels that notebooks can ask for."),
    "queues": Named("staff:queues", "List the queues in which something waits or runs."),
    "prune": Named(
        "prune:prune",
        "Delete executions that ended long ago, with their events and their outputs under executions/; never an input.",
    ),
    "notebooks": Named("notebooks:app", "The registry of notebooks."),
    "parameters": Named("parameters:app", "The definitions of notebooks' parameters."),
    "secrets": Named("secrets:app", "The keys of secret parameters."),
    "executions": Named("executions:app", "The history of executions."),
    "compare": Named("compare:compare", "Compare a notebook's executions: a table of their parameters and results."),
    "diff": Named("compare:diff", "Show what differs between two executions: parameters, results, code cells."),
    "batches": Named("batches:app", "One notebook over many sets of parameters."),
    "schedules": Named("schedules:app", "Notebooks that are executed at certain times."),
    "notifications": Named("notifications:app", "Who is told how executions end."),
    "tokens": Named("tokens:app", "Tokens for programs."),
    "db": Named("db:app", "The schema of the database."),
    "backup": Named("backup:backup", "Copy the database into a file, whole or not at all, while everything goes on."),
    "restore": Named(
        "backup:restore",
        "Restore the database from a file into an empty one, in one transaction, and upgrade its schema.",
    ),
    "doctor": Named("doctor:doctor", "Look at this installation, and say what is wrong and which command mends it."),
    "hub": Named(
        "hub:hub", "Print the lines that put this installation beside a JupyterHub, for its jupyterhub_config.py."
    ),
}


class Commands(TyperGroup):
    """A group that knows its commands by name until one is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = {name: TyperCommand(name, help=command.says) for name, command in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Put the command that is called in the place of its name."""
        if args[0] in COMMANDS:
            self.commands[args[0]] = COMMANDS[args[0]].load(args[0])
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="pressroom",
    cls=Commands,
    help="Turn Jupyter notebooks into jobs: typed parameters in, a recorded execution out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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
