"""Who is calling."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

ADMIN = "admin"


class Scope(StrEnum):
    """What a credential may be used for. Some bring others with them: see :func:`with_implied`."""

    READ = "read"
    EXECUTE = "execute"
    WRITE = "write"
    ACT = "act"
    """Act for other users."""
    ADMIN = "admin"


_IMPLIED = {
    Scope.EXECUTE: {Scope.READ},
    Scope.WRITE: {Scope.READ},
    Scope.ADMIN: set(Scope),
}
PERSON = frozenset({Scope.READ, Scope.EXECUTE, Scope.WRITE})
"""The scopes of a person who signed in and is no administrator."""


def with_implied(scopes: Iterable[str]) -> frozenset[str]:
    """``scopes`` and those that they bring: whoever executes or writes may read, and an administrator may do all."""
    given = [Scope(scope) for scope in scopes]
    return frozenset(given).union(*(_IMPLIED.get(scope, set()) for scope in given))


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose identity was checked.

    ``scopes`` says what the credential may be used for (:class:`Scope`), those that others imply included: none is
    nothing. ``roles``: whoever has ``admin`` may see and do everything, and act for everybody. ``source`` says by what
    the caller was known: ``local``, ...
    """

    username: str
    groups: frozenset[str]
    roles: frozenset[str]
    scopes: frozenset[str]
    source: str
    token_id: int | None = field(default=None, compare=False)
    """The personal access token that was sent, if it was one."""

    @classmethod
    def local(cls, username: str) -> "Principal":
        """The one user of ``PRESSROOM_AUTH=local``, who has every right."""
        return cls.person(username, roles=[ADMIN], source="local")

    @classmethod
    def person(
        cls, username: str, *, groups: Iterable[str] = (), roles: Iterable[str] = (), source: str
    ) -> "Principal":
        """Somebody who signed in, with all that their roles allow."""
        held = frozenset(roles)
        scopes = with_implied({Scope.ADMIN}) if ADMIN in held else PERSON
        return cls(username, frozenset(groups), held, scopes, source)
