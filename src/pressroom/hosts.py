"""Hosts, and whether they are this machine itself."""

from ipaddress import ip_address


def is_loopback(name: str) -> bool:
    """Whether a host is this machine itself. A name that only looks like such an address, 127.example.com, is not."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def is_loopback_to_browsers(name: str) -> bool:
    """Whether a browser takes a host for its own machine, and so for a safe one: names below localhost as well, which
    browsers ask no name server about. Other programs may ask one, and be led elsewhere."""
    return is_loopback(name) or name.endswith(".localhost")
