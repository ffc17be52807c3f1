"""Personal access tokens over HTTP."""

from fastapi import APIRouter, Request, Response

from pressroom.api import PAGE, Facts, Id, Limit, Page, Reader, Skip, Transaction, Writer, page_response, problems
from pressroom.callers_first import CallerFirst
from pressroom.errors import Invalid, NotAllowed, NotFound
from pressroom.identity import tokens
from pressroom.identity.authentication import session_secret
from pressroom.identity.token_schemas import TokenMade, TokenOut, TokenWanted, given

router = APIRouter(prefix="/db/tokens", tags=["tokens"], route_class=CallerFirst)


@router.post("", status_code=201, responses=problems(NotAllowed, Invalid))
async def make_a_token(
    request: Request, wanted: TokenWanted, session: Transaction, caller: Writer, response: Response, facts: Facts
) -> TokenMade:
    """Make a token for a program. It may do no more than its user; its secret is in this answer and in no later one.
    A token, JupyterHub's too, makes no other tokens, unless it is an administrator's with the scope `admin`."""
    response.headers["Cache-Control"] = "no-store"
    made, secret = await tokens.create(session, caller, wanted, in_person=session_secret(request.scope) is not None)
    facts |= {"token_id": made.id, "username": made.username, "scopes": made.scopes}
    return given(made, secret)


@router.get("", response_model=list[TokenOut], responses=PAGE | problems(Invalid))
async def list_tokens(
    request: Request, session: Transaction, caller: Reader, skip: Skip = 0, limit: Limit = 100
) -> Response:
    """The caller's tokens, or everybody's for an administrator, by id: what each is for, and when it was last used."""
    return page_response(request, Page(*await tokens.page(session, caller, skip, limit)), skip, limit)


@router.delete("/{token_id}", status_code=204, responses=problems(NotFound, Invalid))
async def revoke_a_token(token_id: Id, session: Transaction, caller: Writer) -> None:
    """Make a token worthless at once. It stays in the list."""
    await tokens.revoke(session, caller, token_id)
