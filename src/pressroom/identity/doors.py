"""The ways for people to sign in with a browser."""

from typing import Protocol

from starlette.responses import Response

from pressroom.identity.cookies import Site


class Door(Protocol):
    """One way to sign in. ``source`` is what callers who came by it are known by; ``title`` names it to people."""

    @property
    def source(self) -> str:
        """The source of the principals."""
        ...

    @property
    def title(self) -> str:
        """What stands on the button."""
        ...

    async def begin(self, site: Site, next_path: str) -> Response:
        """Send the browser to where its user signs in, to come back to ``next_path`` in the end. Raises
        :class:`Unavailable` where it would find nobody there."""
        ...

    async def leave(self, site: Site, kept: str | None) -> str | None:
        """Where a browser whose session ended here is sent to be signed out there, too. ``kept`` is what the door gave
        to :meth:`Sessions.start`."""
        ...
