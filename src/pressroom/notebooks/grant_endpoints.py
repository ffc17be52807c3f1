"""Grants over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path

from pressroom.api import Facts, GrantReader, Id, Owner, Transaction, problems
from pressroom.callers_first import CallerFirst
from pressroom.errors import Invalid, NotAllowed, NotFound
from pressroom.identity.rights import Level
from pressroom.notebooks import grants
from pressroom.notebooks.grant_schemas import GranteeKind, GrantOut, GrantWanted
from pressroom.wire import Grantee

router = APIRouter(prefix="/db/notebooks/{notebook_id}/grants", tags=["notebooks"], route_class=CallerFirst)
TheGrantee = Annotated[Grantee, Path(examples=["finance"])]


@router.get("", responses=problems(NotAllowed, NotFound, Invalid))
async def list_grants(notebook_id: Id, session: Transaction, caller: GrantReader) -> list[GrantOut]:
    """What others may do with a notebook. Only its owner is told."""
    return [GrantOut.model_validate(row) for row in await grants.of_notebook(session, caller, notebook_id)]


@router.put("/{kind}/{grantee:path}", responses=problems(NotAllowed, NotFound, Invalid))
async def grant_a_notebook(
    notebook_id: Id,
    kind: GranteeKind,
    grantee: TheGrantee,
    wanted: GrantWanted,
    session: Transaction,
    caller: Owner,
    facts: Facts,
) -> GrantOut:
    """Let a user or a group see, execute or change a notebook, in place of what they were granted before."""
    facts["level"] = wanted.level
    row = await grants.grant(session, caller, notebook_id, kind, grantee, Level(wanted.level))
    return GrantOut.model_validate(row)


@router.delete("/{kind}/{grantee:path}", status_code=204, responses=problems(NotAllowed, NotFound, Invalid))
async def revoke_a_grant(
    notebook_id: Id, kind: GranteeKind, grantee: TheGrantee, session: Transaction, caller: Owner
) -> None:
    """Take a grant back."""
    await grants.revoke(session, caller, notebook_id, kind, grantee)
