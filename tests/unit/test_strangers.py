"""How refusals of strangers are counted."""

from pressroom.errors import TooMany
from pressroom.identity import strangers
from pressroom.identity.strangers import Strangers


def entered(strangers: Strangers, address: str, count: int) -> list[int]:
    """Which of so many refusals are entered into the audit."""
    return [met for _ in range(count) if (met := strangers.met(address)) is not None]


def test_the_first_are_entered_one_by_one_and_then_fewer_and_fewer() -> None:
    assert entered(Strangers(20_000), "203.0.113.9", 15_000) == [*range(1, 11), 100, 1000, 10_000]


def test_more_than_the_limit_are_refused_until_the_minute_is_over(monkeypatch) -> None:
    now = 1000.0
    monkeypatch.setattr(strangers.time, "monotonic", lambda: now)
    counted = Strangers(3)
    assert entered(counted, "203.0.113.9", 3) == [1, 2, 3]
    now = 1010.5
    try:
        counted.met("203.0.113.9")
        raise AssertionError("it was answered")
    except TooMany as error:
        assert error.facts["retry_after_seconds"] == 50
    assert entered(counted, "203.0.113.10", 1) == [1]
    now = 1060.0
    assert entered(counted, "203.0.113.9", 1) == [1]


def test_whoever_has_an_address_of_ipv6_has_all_of_its_network() -> None:
    counted = Strangers(10)
    assert entered(counted, "2001:db8::1", 1) == [1]
    assert entered(counted, "2001:db8::ffff:1", 1) == [2]
    assert entered(counted, "2001:db8:0:1::1", 1) == [1]
    assert entered(counted, "::ffff:203.0.113.9", 1) == entered(counted, "::ffff:203.0.113.10", 1) == [1]


def test_a_flood_from_many_addresses_is_bounded_too_and_locks_nobody_out(monkeypatch) -> None:
    monkeypatch.setattr(strangers, "ADDRESSES", 50)
    monkeypatch.setattr(strangers, "ENTRIES", 20)
    counted = Strangers(10)
    found = [counted.met(f"10.0.{number // 250}.{number % 250}") for number in range(1000)]
    assert [met for met in found if met is not None] == [1] * 20
    assert all(counted.met("10.0.3.249") is None for _ in range(100))
