"""Executions as their callers may see and treat them, and whose an execution is that somebody starts."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Batch, Execution, Notebook
from pressroom.errors import NotAllowed, NotFound
from pressroom.executions.registered import Registered
from pressroom.identity import visibility
from pressroom.identity.policy import acts_for_everybody, require_acting_for, viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels

OWNERS = "owner"
"""``run_as`` of a notebook that is executed as its owner, whoever starts it."""


async def seen(session: AsyncSession, principal: Principal, execution_id: int, *, lock: bool = False) -> Execution:
    """An execution that ``principal`` may see. Raises :class:`NotFound`."""
    wanted = select(Execution).where(Execution.id == execution_id)
    wanted = wanted.where(*visibility.sees_execution(Execution, viewer(principal)))
    execution = await session.scalar(wanted.with_for_update() if lock else wanted)
    if execution is None:
        raise NotFound("execution", execution_id)
    return execution


async def require(session: AsyncSession, principal: Principal, execution: Execution, level: Level) -> None:
    """Raise :class:`NotAllowed` unless ``principal`` may do with an execution that they see what ``level`` says: with
    one that is theirs, or that they started, everything."""
    if principal.username not in (execution.username, execution.submitted_by):
        await _require(session, principal, execution.notebook_id, level, f"execution {execution.id}")


async def require_on_batch(session: AsyncSession, principal: Principal, batch: Batch, level: Level) -> None:
    """The same of a batch."""
    if principal.username not in (batch.username, batch.created_by):
        await _require(session, principal, batch.notebook_id, level, f"batch {batch.id}")


async def _require(
    session: AsyncSession, principal: Principal, notebook_id: int | None, level: Level, what: str
) -> None:
    if acts_for_everybody(principal):
        return
    notebook = None if notebook_id is None else await session.get(Notebook, notebook_id)
    held = None if notebook is None else await levels.held_by(session, principal, notebook)
    levels.require_rank(principal, held or Level.VIEWER, level, what)


@dataclass(frozen=True, slots=True)
class Acting:
    """As whom a principal executes a notebook. ``granted``: as its owner, because the notebook says so."""

    username: str
    granted: bool = False


def level_on(principal: Principal, notebook: Registered) -> Level | None:
    """What ``principal`` may do with a notebook; ``None`` where they may not see it."""
    return levels.level_on(principal, notebook.username, notebook.granted)


def may_execute(principal: Principal, notebook: Registered) -> bool:
    """Whether ``principal`` may execute a notebook."""
    level = level_on(principal, notebook)
    return level is not None and level.rank >= Level.RUNNER.rank


def acting(principal: Principal, notebook: Registered, named: str | None) -> Acting:
    """As whom ``principal``, who ``named`` somebody or nobody, executes a registered notebook: its owner as whom they
    want, others as the notebook says.

    Raises :class:`NotFound` where they may not see it, and :class:`NotAllowed`.
    """
    level = level_on(principal, notebook)
    if level is None:
        raise NotFound("notebook", notebook.id)
    levels.require_rank(principal, level, Level.RUNNER, f"notebook {notebook.id}")
    if level is not Level.OWNER and notebook.run_as == OWNERS and named in (None, notebook.username):
        return Acting(notebook.username, granted=True)
    username = named or (notebook.username if level is Level.OWNER else principal.username)
    require_acting_for(principal, username)
    return Acting(username)


def require_own_output(acting: Acting, *, chosen: bool) -> None:
    """Raise :class:`NotAllowed` where a path was ``chosen`` for the output by somebody who acts as an owner by a grant:
    they may execute the notebook, and overwrite nothing of the owner's."""
    if acting.granted and chosen:
        raise NotAllowed(
            f"The notebook is executed as its owner, {acting.username}: where the output goes cannot be chosen."
        )
