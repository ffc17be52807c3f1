"""What a caller may see, as conditions of SQL: of a statement, and the same as text."""

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, func, or_, select, union

from pressroom.database.models import Grant, Notebook
from pressroom.identity.policy import Viewer

NOTEBOOKS_SEEN = """
SELECT id FROM notebooks WHERE username = :viewer
UNION
SELECT notebook_id FROM notebook_grants WHERE (kind = 'user' AND grantee = :viewer)
OR (kind = 'group' AND grantee = ANY (:groups))
"""


def notebooks_seen(viewer: Viewer) -> CompoundSelect[Any]:
    """The ids of the notebooks that ``viewer`` may see, each once."""
    own = select(Notebook.id.label("id")).where(Notebook.username == viewer.username)
    granted = select(Grant.notebook_id.label("id")).where(to(viewer))
    return union(own, granted)


def to(viewer: Viewer) -> ColumnElement[bool]:
    """That a grant is to ``viewer``, by name or by a group."""
    named = and_(Grant.kind == "user", Grant.grantee == viewer.username)
    by_group = and_(Grant.kind == "group", Grant.grantee == func.any(sorted(viewer.groups)))
    return or_(named, by_group) if viewer.groups else named


def sees_notebook(viewer: Viewer | None) -> list[ColumnElement[bool]]:
    """The conditions on a notebook that ``viewer`` may see; none for whoever sees everything."""
    if viewer is None:
        return []
    granted: Select[Any] = select(Grant.notebook_id).where(Grant.notebook_id == Notebook.id, to(viewer))
    return [or_(Notebook.username == viewer.username, granted.exists())]


def sees_execution(row: Any, viewer: Viewer | None) -> list[ColumnElement[bool]]:
    """The conditions on an execution, or on what has its ``username`` and ``notebook_id``: ``viewer``'s own, and those
    of the notebooks that they may see."""
    if viewer is None:
        return []
    return [or_(row.username == viewer.username, row.notebook_id.in_(notebooks_seen(viewer)))]
