"""Puts the rooms together: the ASGI application."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from typing import Any, cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from pressroom import __version__, errors, health, metrics_endpoint, traces
from pressroom.api import ANOTHER_PROBLEM, Parts, Reader, install_problem_handlers, problems
from pressroom.batches import endpoints as batches
from pressroom.database.checks import open_checks
from pressroom.database.session import Database, open_database
from pressroom.database.shared_read import SharedReads
from pressroom.docs_pages import add_docs
from pressroom.executions import comparison_endpoints, control_endpoints, live_endpoints, result_endpoints
from pressroom.executions import endpoints as executions
from pressroom.executions import history_endpoints as history
from pressroom.executions.connector import open_jobs
from pressroom.executions.following import open_following
from pressroom.executions.orders import Intake
from pressroom.executions.tasks import Workshop
from pressroom.identity import audit_endpoints, jupyterhub_endpoints, oidc_endpoints, session_endpoints
from pressroom.identity import token_endpoints as tokens
from pressroom.identity.audit import AuditFile
from pressroom.identity.authentication import Authentication, Source
from pressroom.identity.doors import Door
from pressroom.identity.issuer import open_issuer
from pressroom.identity.jupyterhub import open_hub
from pressroom.identity.jupyterhub_sign_in import HubSignIn
from pressroom.identity.oidc import OidcTokens
from pressroom.identity.oidc_sign_in import OidcSignIn
from pressroom.identity.principal import Principal
from pressroom.identity.sessions import Sessions
from pressroom.identity.strangers import Strangers
from pressroom.identity.tokens import TokenSource
from pressroom.kept_answers import KeptAnswers
from pressroom.metrics import Metrics
from pressroom.middleware import AllowedHosts, BodyLimit, KeptFirst, LoopbackOnly, allowed_hosts
from pressroom.notebooks import endpoints as notebooks
from pressroom.notebooks import file_endpoints as files
from pressroom.notebooks import grant_endpoints as grants
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.notifications import endpoints as notifications
from pressroom.parameters import endpoints as parameters
from pressroom.prefix import Prefixed
from pressroom.press.kernels import Kernels
from pressroom.request_log import RequestLog
from pressroom.rights_table import Endpoint, endpoints
from pressroom.schedules import endpoints as schedules
from pressroom.security_headers import SecurityHeaders
from pressroom.settings import JUPYTERHUB, LOCAL, MEBIBYTE, OIDC, USER, Settings
from pressroom.web import router as pages
from pressroom.web.routes import install_error_pages
from pressroom.wire import example
from pressroom.worker import Crew, Staffing, open_crew, open_sweep

DESCRIPTION = "Turns Jupyter notebooks into jobs: typed parameters in, a recorded execution out."
MULTIPART_BYTES = 64 * 1024
"""What the form around an uploaded file may take."""
CORS: dict[str, Any] = {
    "allow_methods": ["GET", "POST", "PUT", "DELETE"],
    "allow_headers": ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Prefer", "X-Request-ID"],
    "expose_headers": ["Link", "Location", "Retry-After", "X-Request-ID", "X-Total-Count"],
}
"""What pages of the origins that are let in may send and read. Cookies are never asked for: they send a token."""
TAGS = [
    {"name": "notebooks", "description": "The registry."},
    {"name": "parameters", "description": "Typed, checked parameters of registered notebooks."},
    {"name": "executions", "description": "Executing, and the history."},
    {"name": "batches", "description": "One notebook over many sets of parameters."},
    {"name": "schedules", "description": "Executing at certain times."},
    {"name": "results", "description": "What executions recorded, compared."},
    {"name": "notifications", "description": "Telling others how executions end."},
    {"name": "files", "description": "Notebook files in users' directories."},
    {"name": "tokens", "description": "Personal access tokens, for programs."},
    {"name": "sessions", "description": "Who is signed in with a browser."},
    {"name": "service", "description": "The service itself."},
]


class Root(BaseModel):
    """What this service is. `endpoints`: each path and its methods."""

    model_config = example(service="pressroom", version="0.1.0", endpoints={"/health": ["GET"]})
    service: str
    version: str
    endpoints: dict[str, list[str]]


class ProblemPage(BaseModel):
    """What a type of problem means."""

    model_config = example(
        type="/problems/not-found",
        title="Not found",
        status=404,
        description="What was asked for is not there, or is not the caller's to see.",
    )
    type: str
    title: str
    status: int
    description: str


root_router = APIRouter(tags=["service"])


@root_router.get("/", response_model=Root)
async def root(request: Request, response: Response) -> Root | Response:
    """The service's name, its version, and a map of its endpoints."""
    varies = {"Vary": "Accept"}
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse(request.scope.get("root_path", "") + "/home", 303, varies)
    response.headers.update(varies)
    found: dict[str, list[str]] = {}
    for path, operations in request.app.openapi()["paths"].items():
        found[path] = sorted(method.upper() for method in operations)
    return Root(service="pressroom", version=__version__, endpoints=found)


@root_router.get("/problems/{name}", responses=problems(errors.NotFound, errors.Invalid))
async def explain_a_problem(name: str, request: Request, _: Reader) -> ProblemPage:
    """What the `type` of a problem document means."""
    for error in errors.PressroomError.tree():
        if error.slug == name:
            description = " ".join((error.__doc__ or "").replace("``", "`").split())
            return ProblemPage(type=request.url.path, title=error.title, status=error.status, description=description)
    raise errors.NotFound("problem", name)


def create_app(settings: Settings) -> FastAPI:
    """The application. Its database, its kernels and its executions live from its start to its end.

    Raises :class:`Invalid` where the settings would let a notebook act as any user.
    """
    if settings.run_as == USER and LOCAL in settings.auth:
        raise errors.Invalid(
            "PRESSROOM_RUN_AS=user needs callers who are known: with PRESSROOM_AUTH=local, every program on this "
            "machine, and so every notebook, may execute notebooks as any user."
        )
    kept = KeptAnswers()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        places = Places.of(settings)
        async with AsyncExitStack() as opened:
            database = await opened.enter_async_context(open_database(settings))
            kept.checks = await opened.enter_async_context(open_checks(database.url))
            following = await opened.enter_async_context(open_following(database))
            jobs = await opened.enter_async_context(open_jobs(database))
            shop = Workshop(database, places, settings, Metrics(settings.worker_lost_seconds))
            if settings.workers:
                staffing = Staffing(settings.workers, grace_seconds=settings.worker_grace_seconds)
                app.state.crew = await opened.enter_async_context(open_crew(shop, staffing))
            else:
                await opened.enter_async_context(open_sweep(shop))
            valid = ValidFiles(int(settings.max_notebook_mb * MEBIBYTE))
            intake = Intake(places, settings, jobs, valid, settings.executions_per_minute)
            reads = SharedReads()
            people = {OIDC, JUPYTERHUB} & set(settings.auth)
            sessions = Sessions(database, reads, settings) if people else None
            authentication, doors = await opened.enter_async_context(
                _authentication(settings, database, reads, sessions)
            )
            audit_file = AuditFile(settings.audit_file)
            opened.callback(audit_file.close)
            app.state.parts = Parts(
                settings,
                authentication,
                database,
                reads,
                kept,
                places,
                following,
                intake,
                Kernels(),
                shop.metrics,
                audit_file,
                Strangers(settings.refusals_per_minute),
                sessions,
                doors,
            )
            yield
        await asyncio.to_thread(traces.flush)

    app = FastAPIOffline(
        title="Pressroom",
        version=__version__,
        description=DESCRIPTION,
        openapi_tags=TAGS,
        lifespan=lifespan,
        docs_url=None,  # docs_pages has them
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        # The problem document is named in every operation's answers.
        responses=ANOTHER_PROBLEM,
        # FastAPI's own spans hold query strings, and with them values of parameters: RequestLog makes ours.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.router.routes += _rooms().routes
    add_docs(app)
    found = endpoints(app)  # none goes without saying what it needs
    _require_free_prefix(found, settings.root_path)
    install_problem_handlers(app)
    install_error_pages(app)
    notebook_bytes = int(settings.max_notebook_mb * MEBIBYTE)
    upload_bytes = notebook_bytes + MULTIPART_BYTES
    uploads = {"/upload-notebook": upload_bytes, "/db/batches/upload": upload_bytes}
    app.add_middleware(KeptFirst, kept=kept)
    app.add_middleware(BodyLimit, limit_bytes=int(settings.max_body_mb * MEBIBYTE), uploads=uploads)
    if LOCAL in settings.auth:
        app.add_middleware(LoopbackOnly)
    if names := allowed_hosts(settings):
        app.add_middleware(AllowedHosts, names=names)
    if settings.cors_origins:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.middleware_stack = _around_all(app.build_middleware_stack(), settings)
    return app


@cache
def _rooms() -> APIRouter:
    """The routes of the rooms. To make them takes FastAPI longer than all else of an application; it is done once."""
    rooms = APIRouter(responses=ANOTHER_PROBLEM, generate_unique_id_function=_operation_id)
    for router in (
        root_router,
        health.router,
        metrics_endpoint.router,
        notebooks.router,
        grants.router,
        parameters.schema_router,
        parameters.router,
        executions.router,
        control_endpoints.router,
        control_endpoints.staff_router,
        live_endpoints.router,
        history.router,
        batches.router,
        schedules.router,
        result_endpoints.router,
        comparison_endpoints.router,
        notifications.router,
        files.router,
        tokens.router,
        session_endpoints.router,
        oidc_endpoints.router,
        jupyterhub_endpoints.router,
        audit_endpoints.router,
        pages.router,
    ):
        rooms.include_router(router)
    return rooms


def _require_free_prefix(found: Sequence[Endpoint], prefix: str) -> None:
    """Raise :class:`Invalid` where one of the service's own paths begins with the prefix: which of the two is meant,
    nobody could tell."""
    taken = [each.path for each in found if prefix and f"{each.path}/".startswith(f"{prefix}/")]
    if taken:
        raise errors.Invalid(f"root_path: {prefix} is the beginning of the service's own {taken[0]}; choose another.")


def _around_all(app: ASGIApp, settings: Settings) -> ASGIApp:
    """What stands around the answers to unforeseen errors too, which middleware that is added does not see. Nothing is
    added after."""
    https = (settings.public_url or "").startswith("https://")
    app = RequestLog(SecurityHeaders(app, https=https))
    if settings.trusted_proxies:
        app = cast("ASGIApp", ProxyHeadersMiddleware(cast("Any", app), settings.trusted_proxies))
    if settings.root_path:
        app = Prefixed(app, settings.root_path)
    return app


@asynccontextmanager
async def _authentication(
    settings: Settings, database: Database, reads: SharedReads, sessions: Sessions | None
) -> AsyncIterator[tuple[Authentication, dict[str, Door]]]:
    """How callers are known: by the sources of ``PRESSROOM_AUTH``, beside any by personal access tokens, and browsers
    by their sessions; and the doors by which these come in."""
    async with AsyncExitStack() as opened:
        sources: list[Source] = [TokenSource(database, reads)]
        doors: dict[str, Door] = {}
        if OIDC in settings.auth and settings.oidc_issuer is not None:
            issuer = await opened.enter_async_context(open_issuer(settings.oidc_issuer, settings.oidc_metadata_url))
            sources.append(known := OidcTokens(settings, issuer, beside_a_hub=JUPYTERHUB in settings.auth))
            doors[OidcSignIn.source] = OidcSignIn(settings, issuer, known)
        if JUPYTERHUB in settings.auth:
            sources.append(hub := await opened.enter_async_context(open_hub(settings, reads)))
            if settings.jupyterhub_api_token is not None:
                doors[HubSignIn.source] = HubSignIn(settings, settings.jupyterhub_api_token.get_secret_value(), hub)
        local = Principal.local(settings.local_user) if LOCAL in settings.auth else None
        yield Authentication(sources, local, sessions, settings.public_url), doors


def leave(app: FastAPI) -> None:
    """Wake whoever waits and stop taking executions, since the service is about to end."""
    app.state.parts.following.close()
    if (crew := getattr(app.state, "crew", None)) is not None:
        crew.stop()


def worker_failed(app: FastAPI) -> bool:
    """Whether the service has a worker of its own that has ended although nobody stopped it."""
    crew: Crew | None = getattr(app.state, "crew", None)
    return crew is not None and crew.failed


def _operation_id(route: APIRoute) -> str:
    return route.name
