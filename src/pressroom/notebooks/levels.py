"""What somebody may do with a notebook: its owner's, and what was granted."""

from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Grant, Notebook
from pressroom.errors import NotAllowed, NotFound
from pressroom.identity import visibility
from pressroom.identity.policy import acts_for_everybody, viewer
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level


async def require(session: AsyncSession, principal: Principal, notebook_id: int, level: Level) -> Notebook:
    """A notebook, if ``principal`` has ``level`` on it, or more.

    Raises :class:`NotFound` where they may not even see it, and :class:`NotAllowed` where they see it and have less.
    """
    notebook = await session.get(Notebook, notebook_id)
    held = None if notebook is None else await held_by(session, principal, notebook)
    if notebook is None or held is None:
        raise NotFound("notebook", notebook_id)
    require_rank(principal, held, level, f"notebook {notebook_id}")
    return notebook


async def held_by(session: AsyncSession, principal: Principal, notebook: Notebook) -> Level | None:
    """The level that ``principal`` has on a notebook; ``None`` where they may not see it."""
    who = viewer(principal)
    if who is None or notebook.username == who.username:
        return Level.OWNER
    wanted = select(Grant.level).where(Grant.notebook_id == notebook.id, visibility.to(who))
    return highest((await session.scalars(wanted)).all())


def level_on(principal: Principal, owner: str, granted: Iterable[str]) -> Level | None:
    """The same of a notebook of ``owner`` whose grants to ``principal`` are known."""
    if acts_for_everybody(principal) or owner == principal.username:
        return Level.OWNER
    return highest(granted)


def highest(levels: Iterable[str]) -> Level | None:
    """The level that holds all the others."""
    return max((Level(level) for level in levels), key=lambda level: level.rank, default=None)


def require_rank(principal: Principal, held: Level, level: Level, what: str) -> None:
    """Raise :class:`NotAllowed` where ``held`` is less than ``level``."""
    if held.rank < level.rank:
        raise NotAllowed(f"{principal.username} is a {held} of {what}, and this needs {level}.", needed=level.value)
