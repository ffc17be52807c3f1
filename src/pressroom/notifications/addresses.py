"""Which addresses of the network a webhook may be sent to: those that the whole Internet reaches.

A webhook's URL is chosen by a user and called by the service, which may reach what the user may not: itself, its
database, a cloud's metadata. So the address that a name stands for is looked up once, judged, and the connection made
to that very address; a name that stands for another one a moment later (DNS rebinding) gains nothing.
"""

import asyncio
import ipaddress
import socket

from pressroom.notifications.failures import NotDelivered

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
# What Python's own lists call global, in some version or in all, and is not for webhooks: protocol assignments, relays
# that are given up, documentation, segment routing, and the address of Azure's metadata.
_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32",
        "64:ff9b:1::/48", "100::/64", "2001:2::/48", "2001:10::/28", "2001:20::/28", "3fff::/20", "5f00::/16",
    )
)  # fmt: skip
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
REFUSED = "not an address of the public Internet, and webhooks to others are not allowed here"


def is_public(address: IpAddress) -> bool:
    """Whether ``address``, and every IPv4 address that is written in it, belongs to the public Internet."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None or address.is_site_local:
            return False
        if (inner := _inner(address)) is not None:
            return is_public(inner)
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_loopback
        and not address.is_link_local
        and not address.is_unspecified
        and not any(address in network for network in _REFUSED)
    )


def literal(host: str) -> IpAddress | None:
    """The address that ``host`` spells, in any way that the system reads as one (octal, decimal, shortened).

    ``None`` where it is a name. Asks no name server.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return _parsed(str(found[0][4][0]))


async def resolve(host: str, port: int, *, private: bool) -> list[str]:
    """The addresses that ``host`` stands for, asked for once.

    Raises :class:`NotDelivered` where there are none, and, unless ``private`` ones are allowed, a permanent one where
    any of them is not public.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotDelivered(f"There is no address of {host}: {getattr(error, 'strerror', None) or error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not private:
        for address in addresses:
            if not is_public(_parsed(address)):
                raise NotDelivered(f"{host} is at {address}, {REFUSED}", permanent=True)
    return addresses


def _parsed(address: str) -> IpAddress:
    return ipaddress.ip_address(address)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to ``address`` may end at: mapped, compatible, by 6to4, Teredo or NAT64."""
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address.ipv4_mapped or address.sixtofour
