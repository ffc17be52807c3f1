"""Hosts, and whether they are this machine itself."""

from ipaddress import ip_address


def is_loopback(name: str) -> bool:
    """Whether a host is this machine itself. A name that only looks like such an address, 127.example.com, is not."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
