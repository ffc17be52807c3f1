"""Callers whom nobody knows: counted by address and minute, so that a flood of them fills neither table nor log."""

import ipaddress
import time
from collections import Counter

from pressroom.errors import TooMany

MINUTE = 60.0
ONE_BY_ONE = 10
"""As many refusals of an address are entered into the audit one by one, a minute; then the 100th, the 1,000th, ..."""
ENTRIES = 1000
"""Entries in all, a minute."""
ADDRESSES = 10_000
"""Addresses that are counted, a minute; a flood from more of them is not entered."""


class Strangers:
    """The refusals of the last minute in this process."""

    def __init__(self, limit: int) -> None:
        """``limit``: how many of an address are answered, a minute."""
        self._limit = limit
        self._began = float("-inf")
        self._met = Counter[str]()
        self._entries = 0

    def met(self, address: str | None) -> int | None:
        """Count a refusal. How many of this address there were this minute, where that is to be entered into the audit,
        and else ``None``. Raises :class:`TooMany` where there were more than are answered."""
        now = time.monotonic()
        if now - self._began >= MINUTE:
            self._began, self._entries = now, 0
            self._met.clear()
        who = _network(address or "")
        if len(self._met) >= ADDRESSES and who not in self._met:
            return None
        self._met[who] += 1
        count = self._met[who]
        if count > self._limit:
            left = int(self._began + MINUTE - now) + 1
            what = "Too many requests without a valid identity from this address"
            raise TooMany(what, self._limit, "PRESSROOM_REFUSALS_PER_MINUTE", left)
        if self._entries >= ENTRIES or not (count <= ONE_BY_ONE or _is_power_of_ten(count)):
            return None
        self._entries += 1
        return count


def _network(address: str) -> str:
    """What counts as one address: of IPv6 the first half, since whoever has one of them has all of those."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))
    return address


def _is_power_of_ten(number: int) -> bool:
    return str(number).strip("0") == "1"
