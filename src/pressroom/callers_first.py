"""Endpoints with a body know who is calling before they read it."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from pressroom.api import Needs


class CallerFirst(APIRoute):
    """A route that refuses who may not call its endpoint before it reads a body. FastAPI reads and parses one before it
    asks any dependency, so a stranger's would cost what those of known callers do, and be told what is wrong with it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:  # noqa: D102
        handle = super().get_route_handler()
        needed = list(needs_of(self.dependant))
        if self.body_field is None or not needed:
            return handle

        async def known_first(request: Request) -> Response:
            for needs in needed:
                await needs(request, None)
            return await handle(request)

        return known_first


def needs_of(dependant: Dependant) -> Iterator[Needs]:
    """What an endpoint needs of its caller, from its signature."""
    for dependency in dependant.dependencies:
        if isinstance(dependency.call, Needs):
            yield dependency.call
        yield from needs_of(dependency)
