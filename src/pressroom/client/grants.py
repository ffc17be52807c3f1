"""What the clients do with grants: each call once, and the methods of both that send it."""

from typing import TypeVar
from urllib.parse import quote

from pressroom.client.calls import Call
from pressroom.notebooks.grant_schemas import GrantedLevel, GranteeKind, GrantOut

T = TypeVar("T")


def _path(notebook_id: int, user: str | None, group: str | None) -> str:
    if (user is None) == (group is None):
        raise ValueError("give either user or group")
    kind = GranteeKind.GROUP if user is None else GranteeKind.USER
    return f"/db/notebooks/{notebook_id}/grants/{kind}/{quote(user or group or '', safe='')}"


def _grants(notebook_id: int) -> Call[list[GrantOut]]:
    return Call("GET", f"/db/notebooks/{notebook_id}/grants", list[GrantOut])


def _grant(notebook_id: int, level: GrantedLevel, user: str | None, group: str | None) -> Call[GrantOut]:
    return Call("PUT", _path(notebook_id, user, group), GrantOut, {"level": level})


def _revoke(notebook_id: int, user: str | None, group: str | None) -> Call[None]:
    return Call("DELETE", _path(notebook_id, user, group), None)


class Grants:
    """The methods of the synchronous client."""

    def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    def grants(self, notebook_id: int) -> list[GrantOut]:
        """What others may do with a notebook."""
        return self._call(_grants(notebook_id))

    def grant(
        self, notebook_id: int, level: GrantedLevel, *, user: str | None = None, group: str | None = None
    ) -> GrantOut:
        """Let a user or a group see a notebook (``viewer``), execute it (``runner``), or change it (``editor``)."""
        return self._call(_grant(notebook_id, level, user, group))

    def revoke(self, notebook_id: int, *, user: str | None = None, group: str | None = None) -> None:
        """Take a grant back."""
        self._call(_revoke(notebook_id, user, group))


class AsyncGrants:
    """The methods of the asynchronous client."""

    async def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    async def grants(self, notebook_id: int) -> list[GrantOut]:
        """What others may do with a notebook."""
        return await self._call(_grants(notebook_id))

    async def grant(
        self, notebook_id: int, level: GrantedLevel, *, user: str | None = None, group: str | None = None
    ) -> GrantOut:
        """Let a user or a group see a notebook (``viewer``), execute it (``runner``), or change it (``editor``)."""
        return await self._call(_grant(notebook_id, level, user, group))

    async def revoke(self, notebook_id: int, *, user: str | None = None, group: str | None = None) -> None:
        """Take a grant back."""
        await self._call(_revoke(notebook_id, user, group))
