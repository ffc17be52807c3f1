"""What every command stands in: the settings, the database, the caller, and how errors are said."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer
from procrastinate.manager import JobManager
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import OperationalError

from pressroom.database.session import Database, open_database
from pressroom.errors import PressroomError, Unavailable
from pressroom.executions.orders import Intake
from pressroom.identity.principal import Principal
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE, Settings

T = TypeVar("T")
FAILED, WRONG = 1, 2
"""Exit codes: what was asked for failed; what was asked for is wrong."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a command works with. A person in a shell has their own rights on files, so no place is refused."""

    settings: Settings
    database: Database
    caller: Principal
    places: Places

    def intake(self, jobs: JobManager) -> Intake:
        """What taking orders needs."""
        return Intake(self.places, self.settings, jobs, ValidFiles(int(self.settings.max_notebook_mb * MEBIBYTE)))


@asynccontextmanager
async def open_room() -> AsyncIterator[Room]:
    """The room of a command."""
    settings = Settings()
    places = Places(settings.users_root, tuple(settings.shared_roots), everywhere=True)
    async with open_database(settings) as database:
        yield Room(settings, database, Principal.local(settings.local_user), places)


def in_room(work: Callable[[Room], Awaitable[T]]) -> T:
    """Do ``work`` in a room; an error that can be explained ends the command with its sentence."""

    async def opened() -> T:
        async with open_room() as room:
            return await work(room)

    return explained(lambda: asyncio.run(opened()))


def explained(work: Callable[[], T]) -> T:
    """Do ``work``; an error that can be explained ends the command with its sentence, on the standard error."""
    try:
        return work()
    except PressroomError as error:
        complain(error.detail)
        raise typer.Exit(FAILED if isinstance(error, Unavailable) else WRONG) from error
    except ValidationError as error:
        for wrong in error.errors():
            complain(f"{'.'.join(str(part) for part in wrong['loc'])}: {wrong['msg'].removeprefix('Value error, ')}")
        raise typer.Exit(WRONG) from error
    except OperationalError as error:
        complain(f"The database cannot be reached: {error.orig}")
        raise typer.Exit(FAILED) from error


def complain(sentence: str) -> None:
    """Say what is wrong, on the standard error."""
    Console(stderr=True).print(Text.assemble(("error: ", "bold red"), sentence), soft_wrap=True)


def absolute(path: str) -> str:
    """A path of the command line, which starts at the working directory."""
    return str(Path(path).expanduser().absolute())


def out(text: str) -> None:
    """Write to the standard output."""
    sys.stdout.write(text + "\n")
