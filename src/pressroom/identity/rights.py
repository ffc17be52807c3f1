"""What an endpoint needs of its caller. Every one says it in its signature; the table of them all is made from that."""

from collections.abc import MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from pressroom.errors import NotAllowed
from pressroom.identity.principal import Principal, Scope


class Level(StrEnum):
    """What somebody may do with one notebook: each level holds those before it.

    The levels of an execution are those of its notebook; its own user has every one.
    """

    VIEWER = "viewer"
    """See it and its executions."""
    RUNNER = "runner"
    """Execute it."""
    EDITOR = "editor"
    """Change what is said of it and its parameters, and cancel its executions."""
    OWNER = "owner"
    """Grant it to others, change whose it is and which file, and delete it."""

    @property
    def rank(self) -> int:
        """The place in the order."""
        return list(Level).index(self)


@dataclass(frozen=True, slots=True)
class Right:
    """A scope that the caller's credential must have, and ``of`` what else depends: a level on the notebook or the
    execution that is named; ``acting``, that the caller may act as the user who is named; nothing, where the answer
    holds only what the caller may see."""

    scope: Scope
    of: Level | str | None = None


ACTING = "acting"
_REQUIRED = "pressroom.right"
READER = Right(Scope.READ)
VIEWER = Right(Scope.READ, Level.VIEWER)
COPIER = Right(Scope.WRITE, Level.VIEWER)
ACTING_READER = Right(Scope.READ, ACTING)
RUNNER = Right(Scope.EXECUTE, Level.RUNNER)
CANCELLER = Right(Scope.EXECUTE, Level.EDITOR)
ACTING_RUNNER = Right(Scope.EXECUTE, ACTING)
WRITER = Right(Scope.WRITE)
EDITOR = Right(Scope.WRITE, Level.EDITOR)
GRANT_READER = Right(Scope.READ, Level.OWNER)
OWNER = Right(Scope.WRITE, Level.OWNER)
ACTING_WRITER = Right(Scope.WRITE, ACTING)
ADMINISTRATOR = Right(Scope.ADMIN)


def require_scope(principal: Principal, scope: Scope) -> None:
    """Raise :class:`NotAllowed` where the caller's credential was not made for this."""
    if scope not in principal.scopes:
        raise NotAllowed(f"This needs the scope {scope}, which the caller does not have.", scope=scope.value)


def require(right: Right, principal: Principal, scope: MutableMapping[str, Any]) -> None:
    """As :func:`require_scope`, for the request of an ASGI scope, of which :func:`required` then knows ``right``."""
    scope[_REQUIRED] = right
    require_scope(principal, right.scope)


def required(scope: MutableMapping[str, Any]) -> Right:
    """The right that the endpoint of a request required."""
    return scope[_REQUIRED]
