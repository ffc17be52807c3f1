"""The rules that every endpoint shares: who calls, the transaction, pages of a list, problem documents."""

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, cast
from urllib.parse import urlencode

from fastapi import Depends, FastAPI, Path, Query, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBearer
from pydantic import AfterValidator, BaseModel, Field
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.exceptions import HTTPException

from pressroom.database.session import Database
from pressroom.database.shared_read import SharedReads
from pressroom.errors import (
    PROBLEM_BASE,
    Invalid,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PressroomError,
    TooMany,
    Unavailable,
)
from pressroom.executions.following import Following
from pressroom.executions.orders import Intake
from pressroom.executions.refusals import WrongField, not_valid, problem_of
from pressroom.identity import audit, rights
from pressroom.identity.audit import AuditFile, Entry
from pressroom.identity.authentication import READING, Authentication, known_caller
from pressroom.identity.doors import Door
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Right
from pressroom.identity.sessions import Sessions
from pressroom.identity.strangers import Strangers
from pressroom.kept_answers import KeptAnswers
from pressroom.metrics import Metrics
from pressroom.notebooks.places import Places
from pressroom.prefix import path_inside
from pressroom.press.kernels import Kernels
from pressroom.settings import Settings
from pressroom.wire import MAX_ID, checked, sentence_of

PROBLEM_JSON = "application/problem+json"
MOST_ERRORS = 10_000
"""How many of a body's errors are named: of as many executions as may be submitted together, one each."""
log = logging.getLogger("pressroom.api")


@dataclass(frozen=True)
class Parts:
    """What the service is made of: built once, in :mod:`pressroom.app`, and handed to every request."""

    settings: Settings
    authentication: Authentication
    database: Database
    reads: SharedReads
    kept: KeptAnswers
    places: Places
    following: Following
    intake: Intake
    kernels: Kernels
    metrics: Metrics
    audit: AuditFile
    strangers: Strangers
    sessions: Sessions | None = None
    """Those of browsers, where people can sign in with one; and by which ``doors``, by their sources."""
    doors: Mapping[str, Door] = field(default_factory=dict[str, Door])


# Coroutines, though nothing is awaited: FastAPI calls a plain function in a thread, which costs more than all else.


async def parts(request: Request) -> Parts:
    """The parts of the service that answers this request."""
    return _parts(request)


_BEARER = HTTPBearer(scheme_name="token", description="A token, as `Authorization: Bearer TOKEN`.", auto_error=False)


class Needs:
    """The dependency that answers who is calling, where the caller's credential is good for ``right``: the one way into
    an endpoint. What ``right`` says of a notebook or a user is asked by the services, which know them."""

    def __init__(self, right: Right) -> None:
        self.right = right

    async def __call__(self, request: Request, _: Annotated[object, Security(_BEARER)]) -> Principal:
        """Raises :class:`NotAuthenticated` or :class:`NotAllowed`."""
        audit.facts(request.scope)
        caller = await _parts(request).authentication.caller(request.scope)
        rights.require(self.right, caller, request.scope)
        return caller


async def transaction(request: Request) -> AsyncIterator[AsyncSession]:
    """The one transaction of a request: committed before the answer leaves, rolled back if anything was raised."""
    entry = None
    async with _parts(request).database.transaction() as session:
        yield session
        if request.method not in READING:
            entry = await record(request, session)
    if entry is not None:
        await _parts(request).audit.tell(entry)


async def record(request: Request, session: AsyncSession) -> Entry:
    """Write what a request does into the audit, in its own transaction; to be told to the audit's file afterwards."""
    entry = Entry.of(request.scope, await _parts(request).authentication.caller(request.scope))
    await audit.record(session, entry)
    return entry


async def refused(request: Request, error: PressroomError) -> PressroomError:
    """Write a refusal into the audit; what to answer. Those of callers whom nobody knows are counted."""
    caller = known_caller(request.scope)
    entry = Entry.of(request.scope, caller, refused=error.status)
    if caller is None:
        try:
            count = _parts(request).strangers.met(entry.address)
        except TooMany as too_many:
            return too_many
        if count is None:
            return error
        entry.facts["refused_this_minute"] = count
    try:
        async with _parts(request).database.transaction() as session:
            await audit.record(session, entry)
    except (Unavailable, OperationalError) as away:
        log.error("a refusal is not in the audit: %s %s: %s", request.method, request.url.path, away)  # noqa: TRY400
    await _parts(request).audit.tell(entry)
    return error


async def _facts(request: Request) -> dict[str, Any]:
    return audit.facts(request.scope)


def _parts(request: Request) -> Parts:
    return cast("Parts", request.app.state.parts)


TheParts = Annotated[Parts, Depends(parts)]
Reader = Annotated[Principal, Depends(Needs(rights.READER))]
Viewer = Annotated[Principal, Depends(Needs(rights.VIEWER))]
Copier = Annotated[Principal, Depends(Needs(rights.COPIER))]
ActingReader = Annotated[Principal, Depends(Needs(rights.ACTING_READER))]
Runner = Annotated[Principal, Depends(Needs(rights.RUNNER))]
Canceller = Annotated[Principal, Depends(Needs(rights.CANCELLER))]
ActingRunner = Annotated[Principal, Depends(Needs(rights.ACTING_RUNNER))]
Writer = Annotated[Principal, Depends(Needs(rights.WRITER))]
Editor = Annotated[Principal, Depends(Needs(rights.EDITOR))]
GrantReader = Annotated[Principal, Depends(Needs(rights.GRANT_READER))]
Owner = Annotated[Principal, Depends(Needs(rights.OWNER))]
ActingWriter = Annotated[Principal, Depends(Needs(rights.ACTING_WRITER))]
Administrator = Annotated[Principal, Depends(Needs(rights.ADMINISTRATOR))]
Transaction = Annotated[AsyncSession, Depends(transaction, scope="function")]
Facts = Annotated[dict[str, Any], Depends(_facts)]
"""What the request is done to, for the audit, where its path does not say."""
Id = Annotated[int, Path(ge=1, le=MAX_ID, description="The id, a positive integer.", examples=[1])]
Skip = Annotated[int, Query(ge=0, le=2**62, description="How many to leave out from the start.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many to answer at most.")]
QueryText = Annotated[str | None, Query(max_length=255), AfterValidator(checked)]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list, rendered: the JSON of its items, how many they are, and how many there are in all."""

    body: bytes
    length: int
    total: int


def address(request: Request, query: str) -> str:
    """Where the same path is asked for with another query: under the address that people reach this service at, where
    that is known, since a proxy may have been asked by https and for another host."""
    url = request.url.replace(query=query)
    public = _parts(request).settings.public_url
    return str(url) if public is None else f"{public}{path_inside(request.scope)}?{query}"


def page_response(request: Request, page: Page, skip: int, limit: int) -> Response:
    """A page with its total in ``X-Total-Count`` and the address of the next one in ``Link``."""
    headers = {"X-Total-Count": str(page.total)}
    if skip + page.length < page.total and page.length:
        query = dict(request.query_params) | {"skip": str(skip + limit), "limit": str(limit)}
        headers["Link"] = f'<{address(request, urlencode(query))}>; rel="next"'
    return Response(page.body, media_type="application/json", headers=headers)


class Problem(BaseModel):
    """An RFC 9457 problem document. Fields of its own stand beside these."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[WrongField] | None = Field(None, description="Which fields are wrong, where that can be said.")

    model_config = {"extra": "allow"}


def problems(*errors: type[PressroomError]) -> dict[int | str, dict[str, Any]]:
    """The ``responses`` of an operation that needs a right and can answer with these errors."""
    return open_problems(*errors, NotAuthenticated, NotAllowed)


def open_problems(*errors: type[PressroomError]) -> dict[int | str, dict[str, Any]]:
    """The same of one that anybody may ask for."""
    answers: dict[int | str, dict[str, Any]] = {}
    for error in (*errors, Unavailable):
        example = {"type": PROBLEM_BASE + error.slug, "title": error.title, "status": error.status, "detail": "..."}
        answers[error.status] = {
            "description": error.title,
            "model": Problem,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}},
        }
    return answers


ANOTHER_PROBLEM: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Another problem.",
        "model": Problem,
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
PAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A page of the list.",
        "headers": {
            "X-Total-Count": {"description": "How many there are in all.", "schema": {"type": "integer"}},
            "Link": {"description": 'The next page, `<...>; rel="next"`.', "schema": {"type": "string"}},
        },
    }
}


def problem_response(error: PressroomError, scope: Mapping[str, Any]) -> Response:
    """The answer to an error of the request of an ASGI scope."""
    headers = {"WWW-Authenticate": "Bearer"} if isinstance(error, NotAuthenticated) else {}
    if isinstance(error, TooMany):
        headers["Retry-After"] = str(error.facts["retry_after_seconds"])
    problem = problem_of(error)
    if root := scope.get("root_path"):
        problem["type"] = root + problem["type"]
        if wrong := problem.get("errors"):
            problem["errors"] = [{**one, "type": root + one["type"]} if "type" in one else one for one in wrong]
    return JSONResponse(problem, status_code=error.status, headers=headers, media_type=PROBLEM_JSON)


def _sentence(errors: Sequence[Any]) -> str:
    def one(error: Any) -> str:
        where = ".".join(str(part) for part in error["loc"] if part != "body") or "the body"
        return f"{where}: {sentence_of(error)}"

    return "; ".join(one(error) for error in errors[:10]) + "."


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of ``app`` with a problem document."""

    async def pressroom_error(request: Request, error: Exception) -> Response:
        # A refusal of what needs no right, the metrics say, is the matter of that endpoint alone.
        if isinstance(error, NotAuthenticated | NotAllowed) and audit.begun(request.scope):
            error = await refused(request, error)
        return problem_response(cast("PressroomError", error), request.scope)

    async def fields_not_valid(request: Request, error: Exception) -> Response:
        errors = cast("RequestValidationError", error).errors()
        return problem_response(not_valid(errors[:MOST_ERRORS], _sentence(errors)), request.scope)

    async def http_error(request: Request, error: Exception) -> Response:
        error = cast("HTTPException", error)
        if error.status_code == 400:
            return problem_response(Invalid(f"The body cannot be read: {error.detail}."), request.scope)
        if error.status_code == 404:
            return problem_response(NotFound("page", request.url.path), request.scope)
        problem = {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": f"{request.method} {request.url.path}: {error.detail}.",
        }
        return JSONResponse(problem, error.status_code, headers=error.headers, media_type=PROBLEM_JSON)

    async def database_away(request: Request, error: Exception) -> Response:
        log.warning("the database cannot be reached: %s", error)
        return problem_response(Unavailable("database", "the connection failed; try again"), request.scope)

    async def unforeseen(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem_response(PressroomError("The service failed; its log says more."), request.scope)

    handlers: dict[type[Exception], Callable[[Request, Exception], Any]] = {
        PressroomError: pressroom_error,
        RequestValidationError: fields_not_valid,
        HTTPException: http_error,
        OperationalError: database_away,
        Exception: unforeseen,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
