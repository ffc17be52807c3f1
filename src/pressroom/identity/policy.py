"""What a principal may do: decided here and nowhere else."""

from dataclasses import dataclass

from pressroom.errors import NotAllowed
from pressroom.identity.principal import ADMIN, Principal, Scope


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose view of the registry and the history it is: two callers who are equal here may see the same."""

    username: str
    groups: frozenset[str]


def viewer(principal: Principal) -> Viewer | None:
    """As whom ``principal`` looks; ``None`` stands for whoever may see everything."""
    return None if acts_for_everybody(principal) else Viewer(principal.username, principal.groups)


def acts_for_everybody(principal: Principal) -> bool:
    """Whether ``principal`` may act as any user, and so see what they see."""
    return ADMIN in principal.roles or Scope.ACT in principal.scopes


def require_acting_for(principal: Principal, username: str) -> None:
    """Raise :class:`NotAllowed` where ``principal`` may not act as ``username``."""
    if principal.username != username and not acts_for_everybody(principal):
        raise NotAllowed(f"{principal.username} may not act for {username}.", username=username)


def is_admin(principal: Principal) -> bool:
    """Whether ``principal`` may do and see everything."""
    return ADMIN in principal.roles


def require_admin(principal: Principal, what: str) -> None:
    """Raise :class:`NotAllowed` unless ``principal`` is an administrator; ``what`` completes "Only ... may"."""
    if not is_admin(principal):
        raise NotAllowed(f"Only an administrator may {what}.")
