"""Where a webhook may go: to an address that was looked up once, judged, and no other."""

import asyncio
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from pressroom.notifications import delivery
from pressroom.notifications.failures import NotDelivered
from pressroom.notifications.targets import new_secret

SECRET = new_secret()
# Spellings of this machine and its neighbours, as URLs have them; {port} is one where a receiver listens.
PRIVATE = [
    "http://127.0.0.1:{port}/",
    "http://127.0.0.2:{port}/",
    "http://127.1:{port}/",
    "http://2130706433:{port}/",
    "http://0x7f000001:{port}/",
    "http://0x7f.1:{port}/",
    "http://0177.0.0.1:{port}/",
    "http://017700000001:{port}/",
    "http://0:{port}/",
    "http://0.0.0.0:{port}/",
    "http://localhost:{port}/",
    "http://LOCALHOST:{port}/",
    "http://[::1]:{port}/",
    "http://[::]:{port}/",
    "http://[0:0:0:0:0:0:0:1]:{port}/",
    "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/",
    "http://[::127.0.0.1]:{port}/",
    "http://[64:ff9b::127.0.0.1]:{port}/",
    "http://[64:ff9b::7f00:1]:{port}/",
    "http://[2002:7f00:1::]:{port}/",
    "http://[2002:a00:1::1]:{port}/",
    "http://127\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}0\N{IDEOGRAPHIC FULL STOP}1:{port}/",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://169.254.169.254/latest/meta-data/",
    "http://100.64.0.1/",
    "http://192.0.0.8/",
    "http://198.18.0.1/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[fd00:ec2::254]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[2001:db8::1]/",
]


async def send(url: str, *, private: bool = False) -> None:
    await delivery.post(url, SECRET, "msg_1", b"{}", private=private)


async def test_no_spelling_of_a_private_address_is_called(receiver: Any) -> None:
    assert len(PRIVATE) >= 15
    for spelling in PRIVATE:
        with pytest.raises(NotDelivered) as refused:
            await send(spelling.format(port=receiver.port))
        assert refused.value.permanent, (spelling, refused.value.detail)
        assert re.search("not an address of the public Internet|cannot be read", refused.value.detail), spelling
    assert receiver.received == []


async def test_a_refused_address_is_given_up_at_once(teller: Any, receiver: Any) -> None:
    teller.settings.webhook_private_addresses = False
    await teller.subscribe(receiver.url)
    await teller.announce(await teller.execution())
    await teller.work()
    [told] = await teller.deliveries()
    assert (told.status, told.attempts) == ("failed", 1)
    assert "127.0.0.1" in told.detail
    assert receiver.received == []
    assert await teller.hasten() == []


Answer = list[str]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, list[Answer]], list[str]]:
    """Says which addresses a name server gives for a name, one answer after the other; returns what it was asked."""
    real = socket.getaddrinfo

    def set_up(name: str, answers: list[Answer]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
            if host != name:
                return real(host, port, *args, **options)
            asked.append(host)
            return [entry for address in answers.pop(0) for entry in real(address, port, *args, **options)]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return set_up


async def test_a_name_is_looked_up_once_and_that_address_is_called(receiver: Any, names: Any) -> None:
    asked = names("rebind.test", [["127.0.0.1"], ["127.0.0.3"]])
    await send(f"http://rebind.test:{receiver.port}/hook", private=True)
    assert asked == ["rebind.test"]
    [got] = receiver.received
    assert got.headers["host"] == f"rebind.test:{receiver.port}"


async def test_a_name_with_one_private_address_among_public_ones_is_refused(receiver: Any, names: Any) -> None:
    asked = names("mixed.test", [["8.8.8.8", "2606:4700::1111", "127.0.0.1"]])
    with pytest.raises(NotDelivered) as refused:
        await send(f"http://mixed.test:{receiver.port}/")
    assert refused.value.permanent
    assert asked == ["mixed.test"]
    assert receiver.received == []


async def test_the_next_address_is_tried_where_one_takes_no_connection(receiver: Any, names: Any) -> None:
    names("two.test", [["127.0.0.9", "127.0.0.1"]])
    await send(f"http://two.test:{receiver.port}/", private=True)
    assert len(receiver.received) == 1


async def test_a_name_without_an_address_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(NotDelivered) as unknown:
        await send("http://nowhere.test/")
    assert not unknown.value.permanent
    assert "There is no address of nowhere.test" in unknown.value.detail


async def test_the_environments_proxies_are_not_asked(receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    await send(f"{receiver.url}/", private=True)
    assert len(receiver.received) == 1


async def _served(url_of: Callable[[int], str], answer: Callable[..., Any], **options: Any) -> None:
    """Send a webhook to a server that reads a request's head and leaves the rest to ``answer``."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, **options)
    async with server:
        await send(url_of(server.sockets[0].getsockname()[1]), private=True)


def http_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/"


async def test_a_receiver_that_says_nothing_does_not_hold_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.3)

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    with pytest.raises(NotDelivered, match=r"did not answer within 0\.3 seconds"):
        await _served(http_url, silent)


async def test_nor_does_one_that_sends_its_head_a_byte_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.3)

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(NotDelivered, match="did not answer within"):
        await _served(http_url, slow)


async def test_an_endless_answer_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    await _served(http_url, endless)
    assert sent < 64 * 2**20


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[trustme.CA]:
    """An authority that the service trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    delivery.trusted.cache_clear()
    yield authority
    delivery.trusted.cache_clear()


class _Names:
    """Notes the server names that clients ask for."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self.asked: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(self.context)
        self.context.sni_callback = lambda _socket, asked, _context: self.asked.append(asked)


async def _taken(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    await writer.drain()


async def test_over_tls_the_certificate_must_be_the_names(authority: trustme.CA, names: Any) -> None:
    names("hooks.test", [["127.0.0.1"]])
    tls = _Names(authority, "hooks.test")
    await _served(lambda port: f"https://hooks.test:{port}/", _taken, ssl=tls.context)
    assert tls.asked == ["hooks.test"]


async def test_over_tls_another_names_certificate_is_refused(authority: trustme.CA, names: Any) -> None:
    names("hooks.test", [["127.0.0.1"]])
    tls = _Names(authority, "other.test")
    with pytest.raises(NotDelivered, match="certificate") as refused:
        await _served(lambda port: f"https://hooks.test:{port}/", _taken, ssl=tls.context)
    assert not refused.value.permanent
