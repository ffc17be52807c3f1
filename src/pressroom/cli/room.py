"""What every command stands in: the settings, the database, the caller, and how errors are said."""

import asyncio
import os
import pwd
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import typer
from procrastinate.manager import JobManager
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.session import Database, open_database
from pressroom.errors import PressroomError, Unavailable
from pressroom.executions.orders import Intake
from pressroom.identity import audit
from pressroom.identity.audit import AuditFile, Entry
from pressroom.identity.principal import Principal
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE, USER, Settings

T = TypeVar("T")
FAILED, WRONG = 1, 2
"""Exit codes: what was asked for failed; what was asked for is wrong."""


@dataclass(frozen=True, slots=True)
class Room:
    """What a command works with. A person in a shell has their own rights on files, so no place is refused; only root,
    where notebooks run as their users, acts as the user whose file it is."""

    settings: Settings
    database: Database
    caller: Principal
    places: Places

    @asynccontextmanager
    async def change(self, command: str, operation: str) -> AsyncGenerator[tuple[AsyncSession, dict[str, Any]]]:
        """A transaction that changes something, and the facts that the audit is to have of it. The entry is of that
        transaction: ``command`` is what was called, ``operation`` what the API calls the same."""
        facts: dict[str, Any] = {}
        async with self.database.transaction() as session:
            yield session, facts
            entry = Entry.of_command(self.caller, f"pressroom {command}", operation, _account(), facts)
            await audit.record(session, entry)
        try:
            file = AuditFile(self.settings.audit_file)
        except Unavailable as error:
            complain(f"It is done and in the audit, but not in its file. {error.detail}")
            return
        await file.tell(entry)
        file.close()

    def intake(self, jobs: JobManager) -> Intake:
        """What taking orders needs."""
        return Intake(self.places, self.settings, jobs, ValidFiles(int(self.settings.max_notebook_mb * MEBIBYTE)))


@asynccontextmanager
async def open_room() -> AsyncIterator[Room]:
    """The room of a command. Raises :class:`Invalid` where root is to act as users, and cannot."""
    settings = Settings()
    if settings.run_as == USER and os.geteuid() == 0:
        places = Places.of(settings)
    else:
        places = Places(settings.users_root, tuple(settings.shared_roots), everywhere=True)
    async with open_database(settings) as database:
        yield Room(settings, database, Principal.local(settings.local_user), places)


def _account() -> str:
    """Who is really there, whatever the environment says."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"


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
