"""A registered notebook as its pages need it: what it is, what its parameters are, and what somebody may do with it."""

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.api import refused
from pressroom.database.models import Grant, Notebook
from pressroom.errors import PathNotAllowed
from pressroom.executions import access, recent
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.rights import Level
from pressroom.notebooks import grants, levels
from pressroom.parameters import service as parameters
from pressroom.parameters.rules import Definition
from pressroom.web.forms import text_of

MARKS = 60
HOW = ("queue", "priority", "timeout_seconds", "max_attempts")
"""What may be said beside the parameters, by the names of the fields."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A notebook that somebody may see, and what they may do with it. ``marks``: its last executions; ``grants``: what
    others may do, which only its owner is told."""

    row: Notebook
    level: Level
    definitions: list[Definition]
    marks: list[recent.Mark]
    grants: Sequence[Grant]

    @property
    def defaults(self) -> dict[str, str]:
        """How it is executed where nothing is said, as texts."""
        return {name: text_of(value) for name, value in self.row.execution_defaults.items()}

    def may_execute(self, caller: Principal) -> bool:
        """Whether ``caller`` may execute it."""
        return self.level.rank >= Level.RUNNER.rank and Scope.EXECUTE in caller.scopes

    def may_edit(self, caller: Principal) -> bool:
        """Whether ``caller`` may change its parameters."""
        return self.level.rank >= Level.EDITOR.rank and Scope.WRITE in caller.scopes

    def may_grant(self, caller: Principal) -> bool:
        """Whether ``caller`` may say what others may do."""
        return self.level is Level.OWNER and Scope.WRITE in caller.scopes


async def out_of_reach(request: Request, shown: Seen, error: PathNotAllowed) -> str:
    """What to say, and what can be done, where a notebook's file is out of the caller's reach; that it was refused is
    written into the audit."""
    await refused(request, error)
    owner = shown.row.username
    if shown.row.run_as == access.OWNERS:
        return f"{error.detail} Its owner, {owner}, can move it."
    return (
        f"{error.detail} Whoever executes it has to reach its file. "
        f"Its owner, {owner}, can move it to a shared folder, or let others execute it as {owner}."
    )


async def seen(
    session: AsyncSession, caller: Principal, notebook_id: int, level: Level = Level.VIEWER, *, marks: int = MARKS
) -> Seen:
    """A notebook on which ``caller`` has ``level``. Raises :class:`NotFound` and :class:`NotAllowed`."""
    row = await levels.require(session, caller, notebook_id, level)
    held = await levels.held_by(session, caller, row) or Level.VIEWER
    definitions = [parameters.definition_of(each) for each in await parameters.of_notebook(session, notebook_id)]
    found = await recent.marks(session, [notebook_id], marks)
    granted = await grants.of_notebook(session, caller, notebook_id) if held is Level.OWNER else ()
    return Seen(row, held, definitions, found[notebook_id], granted)
