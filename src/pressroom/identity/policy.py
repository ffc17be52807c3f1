"""What a principal may do: decided here and nowhere else."""

from pressroom.errors import NotAllowed
from pressroom.identity.principal import ADMIN, Principal


def require_acting_for(principal: Principal, username: str) -> None:
    """Raise :class:`NotAllowed` where ``principal`` may not act as ``username``."""
    if principal.username != username and ADMIN not in principal.roles:
        raise NotAllowed(f"{principal.username} may not act for {username}.", username=username)


def is_admin(principal: Principal) -> bool:
    """Whether ``principal`` may do and see everything."""
    return ADMIN in principal.roles


def require_admin(principal: Principal, what: str) -> None:
    """Raise :class:`NotAllowed` unless ``principal`` is an administrator; ``what`` completes "Only ... may"."""
    if not is_admin(principal):
        raise NotAllowed(f"Only an administrator may {what}.")
