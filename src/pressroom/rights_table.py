"""The endpoints and what each needs of its caller, read from their signatures."""

from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from pressroom.callers_first import CallerFirst, needs_of
from pressroom.identity.rights import Right

OPEN = {
    "/": "",
    "/health": "",
    "/docs": "",
    "/redoc": "",
    "/openapi.json": "",
    "/static-offline-docs": "the scripts of `/docs` and `/redoc`",
    "/assets/{name}": "the styles and scripts of the pages",
    "/login": "what signing in with a browser needs",
    "/login/callback": "what signing in with a browser needs",
    "/oauth_callback": "what signing in at JupyterHub with a browser needs",
    "/logout/backchannel": "the issuer's own way to end sessions, with a token that it signed",
    "/metrics": "from this machine, or with the token of `PRESSROOM_METRICS_TOKEN`",
}
"""What anybody may ask for, and a word about it."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and a path, and what it needs; ``None`` is open to anybody. ``name`` is the operation's."""

    method: str
    path: str
    right: Right | None
    name: str


def endpoints(app: FastAPI) -> list[Endpoint]:
    """Every endpoint of the application. Raises ``RuntimeError`` for one that needs nothing and is not :data:`OPEN`:
    what says nothing is for nobody; and for one that would read the body of whoever is not known."""
    found: list[Endpoint] = []
    for route in iter_route_contexts(app.routes):
        path, name = str(route.path), str(route.name)
        dependant: Dependant | None = getattr(route, "dependant", None)
        rights = [needs.right for needs in needs_of(dependant)] if dependant is not None else []
        if len(rights) != (path not in OPEN):
            raise RuntimeError(f"{path} ({name}) must say what it needs, once, or stand among what is open.")
        if getattr(route, "body_field", None) and rights and not isinstance(route.original_route, CallerFirst):
            raise RuntimeError(f"{path} ({name}) must know its caller before it reads a body: as a CallerFirst route.")
        methods = sorted(getattr(route, "methods", None) or {"GET"})
        found += [Endpoint(method, path, rights[0] if rights else None, name) for method in methods]
    return found
