"""Grants: what a notebook's owner lets others do with it."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Grant
from pressroom.errors import NotFound
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.notebooks.grant_schemas import GranteeKind


async def of_notebook(session: AsyncSession, principal: Principal, notebook_id: int) -> Sequence[Grant]:
    """The grants of a notebook, by grantee. Raises as :func:`grant`."""
    await levels.require(session, principal, notebook_id, Level.OWNER)
    wanted = select(Grant).where(Grant.notebook_id == notebook_id).order_by(Grant.kind, Grant.grantee)
    return (await session.scalars(wanted)).all()


async def grant(
    session: AsyncSession, principal: Principal, notebook_id: int, kind: GranteeKind, grantee: str, level: Level
) -> Grant:
    """Let a user or a group have ``level`` on a notebook, in place of what they had.

    Raises :class:`NotFound` where ``principal`` may not see the notebook, :class:`NotAllowed` where they do not own it.
    """
    await levels.require(session, principal, notebook_id, Level.OWNER)
    fields = {"level": level.value, "granted_by": principal.username}
    statement = (
        insert(Grant)
        .values(notebook_id=notebook_id, kind=kind.value, grantee=grantee, **fields)
        .on_conflict_do_update(constraint="pk_notebook_grants", set_=fields)
        .returning(Grant)
    )
    return (await session.scalars(statement, execution_options={"populate_existing": True})).one()


async def revoke(
    session: AsyncSession, principal: Principal, notebook_id: int, kind: GranteeKind, grantee: str
) -> None:
    """Take a grant back. Raises as :func:`grant`, and :class:`NotFound` where there is none."""
    await levels.require(session, principal, notebook_id, Level.OWNER)
    statement = delete(Grant).where(
        Grant.notebook_id == notebook_id, Grant.kind == kind.value, Grant.grantee == grantee
    )
    if (await session.execute(statement.returning(Grant.grantee))).one_or_none() is None:
        raise NotFound("grant", f"{kind} {grantee}")
