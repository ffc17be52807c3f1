"""Which addresses belong to the public Internet, and how long a delivery waits."""

import ipaddress

import pytest

from pressroom.notifications.addresses import is_public, literal
from pressroom.notifications.tasks import LONGEST_PAUSE_SECONDS, pause

PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
NOT_PUBLIC = [
    "0.0.0.0", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.255.254", "168.63.129.16", "169.254.169.254",
    "172.31.255.255", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.251", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:2::1", "2001:10::1", "2001:db8::1", "2002:a00:1::1", "3fff::1",
    "5f00::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_the_public_internet_may_be_called(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nothing_else_may(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f.1", "0177.0.0.1", "017700000001"])
def test_an_address_is_known_however_it_is_spelt(host: str) -> None:
    assert literal(host) == ipaddress.ip_address("127.0.0.1")


def test_a_name_is_no_address() -> None:
    assert literal("localhost") is None
    assert literal("x" * 300) is None


def test_pauses_grow_to_their_longest_and_differ_by_chance() -> None:
    middles = [10, 50, 250, 1250, 6250, 7200, 7200, 7200]
    for attempts, middle in enumerate(middles):
        found = {pause(attempts) for _ in range(50)}
        assert len(found) > 1
        assert min(found) >= middle * 0.75
        assert max(found) <= middle * 1.25
    assert pause(10**6) <= LONGEST_PAUSE_SECONDS * 1.25
    assert pause(0, 300) == 300
    assert pause(0, 1e9) == LONGEST_PAUSE_SECONDS
