"""Registered notebooks as people look for them: by words, tags and owners; and which files are registered at all."""

from collections.abc import Collection, Mapping, Sequence

from sqlalchemy import ColumnElement, case, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, Grant, Notebook
from pressroom.identity import visibility
from pressroom.identity.policy import Viewer
from pressroom.identity.rights import Level
from pressroom.notebooks.schemas import NotebookOut

MOST_WORDS = 8
"""How many words of a search are looked for; the others are left out."""
MOST_TAGS = 60
LATELY = 200
"""Among how many of somebody's last executions it is looked for what they have executed."""
EXECUTING = [level.value for level in Level if level.rank >= Level.RUNNER.rank]


async def find(
    session: AsyncSession,
    seen_by: Viewer | None,
    *,
    words: str = "",
    username: str | None = None,
    tag: str | None = None,
    skip: int = 0,
    limit: int = 50,
) -> tuple[list[NotebookOut], int]:
    """The notebooks that ``seen_by`` may see, by name, and how many there are in all. Each of the ``words`` is in the
    name, the description or the path; ``username`` owns them, and they carry the ``tag``."""
    conditions = visibility.sees_notebook(seen_by)
    for word in words.split()[:MOST_WORDS]:
        columns = (Notebook.name, Notebook.description, Notebook.file_path)
        conditions.append(or_(*(column.icontains(word, autoescape=True) for column in columns)))
    if username is not None:
        conditions.append(Notebook.username == username)
    if tag is not None:
        conditions.append(Notebook.tags.contains([tag]))
    wanted = select(Notebook).where(*conditions).order_by(func.lower(Notebook.name), Notebook.id)
    rows = (await session.scalars(wanted.offset(skip).limit(limit))).all()
    if not skip and len(rows) < limit:
        total = len(rows)
    else:
        total = int(await session.scalar(select(func.count(Notebook.id)).where(*conditions)) or 0)
    return [NotebookOut.model_validate(row) for row in rows], total


async def of(session: AsyncSession, who: Viewer, seen_by: Viewer | None, limit: int) -> list[NotebookOut]:
    """The notebooks that ``who`` owns or was given the right to execute, and those they have executed lately where they
    see everything: what was executed last as them comes first, then the others, their own before, by name. What is
    executed as its owner, whoever asked for it, counts for the owner."""
    lately = select(Execution.id, Execution.notebook_id).where(Execution.username == who.username)
    lately = lately.order_by(Execution.id.desc()).limit(LATELY).subquery()
    last = select(lately.c.notebook_id, func.max(lately.c.id).label("id")).group_by(lately.c.notebook_id).subquery()
    granted = select(Grant.notebook_id).where(Grant.level.in_(EXECUTING), visibility.to(who))
    own = Notebook.username == who.username
    theirs: list[ColumnElement[bool]] = [own, Notebook.id.in_(granted)]
    if seen_by is None:
        theirs.append(last.c.id.is_not(None))
    wanted = select(Notebook).outerjoin(last, last.c.notebook_id == Notebook.id).where(or_(*theirs))
    order = (last.c.id.desc().nulls_last(), own.desc(), func.lower(Notebook.name), Notebook.id)
    return [NotebookOut.model_validate(row) for row in await session.scalars(wanted.order_by(*order).limit(limit))]


async def tags(session: AsyncSession, seen_by: Viewer | None) -> list[str]:
    """The tags of the notebooks that ``seen_by`` may see, the most used first, :data:`MOST_TAGS` at most."""
    some = case((func.jsonb_typeof(Notebook.tags) == "array", Notebook.tags), else_=func.jsonb_build_array())
    each = func.jsonb_array_elements_text(some).table_valued("value", name="tag")
    wanted = select(each.c.value).select_from(Notebook).join(each, true()).where(*visibility.sees_notebook(seen_by))
    wanted = wanted.group_by(each.c.value).order_by(func.count().desc(), each.c.value)
    return list(await session.scalars(wanted.limit(MOST_TAGS)))


async def owners(session: AsyncSession, seen_by: Viewer | None) -> list[str]:
    """Who owns the notebooks that ``seen_by`` may see, by name."""
    wanted = select(Notebook.username).where(*visibility.sees_notebook(seen_by)).distinct()
    return list(await session.scalars(wanted.order_by(Notebook.username)))


async def names(session: AsyncSession, seen_by: Viewer | None, ids: Collection[int]) -> Mapping[int, str]:
    """The names of those of the notebooks that ``seen_by`` may see."""
    if not ids:
        return {}
    wanted = select(Notebook.id, Notebook.name).where(Notebook.id.in_(ids), *visibility.sees_notebook(seen_by))
    return {row.id: row.name for row in await session.execute(wanted)}


async def registered(session: AsyncSession, paths: Sequence[str]) -> frozenset[str]:
    """Which of these files are registered, whoever may see that."""
    if not paths:
        return frozenset()
    return frozenset(await session.scalars(select(Notebook.file_path).where(Notebook.file_path.in_(paths))))
