"""What a principal may do: decided here and nowhere else."""

from pressroom.errors import NotAllowed
from pressroom.identity.principal import ADMIN, Principal


def require_acting_for(principal: Principal, username: str) -> None:
    """Raise :class:`NotAllowed` where ``principal`` may not act as ``username``."""
    if principal.username != username and ADMIN not in principal.roles:
        raise NotAllowed(f"{principal.username} may not act for {username}.", username=username)
