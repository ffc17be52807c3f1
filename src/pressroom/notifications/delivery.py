"""Sends webhooks, as https://www.standardwebhooks.com describes them."""

import asyncio
import contextlib
import functools
import json
import ssl
from datetime import UTC, datetime

import httpx
from standardwebhooks.webhooks import Webhook

from pressroom import __version__
from pressroom.executions.schemas import ExecutionOut
from pressroom.notifications.addresses import resolve
from pressroom.notifications.failures import NotDelivered
from pressroom.notifications.service import Telling

TIMEOUT_SECONDS = 15.0
"""How long a receiver may take, from the look-up of its name to its answer's status."""
_ANSWER_BYTES = 4096
_ANSWER_SECONDS = 1.0
_GONE = 410
_PORTS = {"http": 80, "https": 443}


def message(told: Telling) -> bytes:
    """The body of a webhook. Its ``timestamp`` is when it happened, not when this is sent."""
    execution = ExecutionOut.model_validate(told.execution).model_dump(mode="json")
    at = told.delivery.created_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    body = {"type": told.event.value, "timestamp": at, "data": {**execution, "notebook_name": told.notebook_name}}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


async def post(url: str, secret: str, message_id: str, body: bytes, *, private: bool) -> None:
    """Send a signed webhook to ``url``. ``message_id`` stays the same over retries; the receiver knows it by that.

    It goes to an address that was looked up once and judged; ``private`` allows those outside the public Internet. The
    environment's proxies are not asked, redirects are not followed, and what the receiver answers beside its status is
    not kept.

    Raises :class:`NotDelivered` for every answer but 2xx, as the specification has it; a permanent one for 410, for
    an address that is not allowed and for a URL that cannot be read.
    """
    try:
        target = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise NotDelivered(f"The URL cannot be read: {error}", permanent=True) from error
    now = datetime.now(UTC)
    headers = {
        "Host": target.netloc.decode("ascii"),
        "Content-Type": "application/json",
        "User-Agent": f"Pressroom/{__version__}",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, now, body.decode()),
    }
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            host = target.raw_host.decode("ascii")
            addresses = await resolve(host, target.port or _PORTS[target.scheme], private=private)
            status, wait = await _send(target, host, addresses, headers, body)
    except TimeoutError as error:
        raise NotDelivered(f"The receiver did not answer within {TIMEOUT_SECONDS:g} seconds") from error
    except httpx.HTTPError as error:
        why = str(error) or type(error).__name__
        raise NotDelivered(f"The receiver cannot be reached: {why}") from error
    if not 200 <= status < 300:
        raise NotDelivered(f"The receiver answered {status}", permanent=status == _GONE, retry_after=wait)


async def _send(
    target: httpx.URL, host: str, addresses: list[str], headers: dict[str, str], body: bytes
) -> tuple[int, float | None]:
    """Post to the first of ``addresses`` that takes a connection: the status, and the seconds of ``Retry-After``."""
    async with httpx.AsyncClient(verify=trusted(), trust_env=False, timeout=TIMEOUT_SECONDS) as client:
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            request = client.build_request(
                "POST",
                target.copy_with(host=address, fragment=None),
                content=body,
                headers=headers,
                extensions={"sni_hostname": host},  # the certificate must be the name's, whatever address it is at
            )
            try:
                response = await client.send(request, stream=True, follow_redirects=False)
            except httpx.ConnectError:
                if last == 0:
                    raise
                continue
            try:
                await _swallow(response)
                return response.status_code, _seconds(response.headers.get("retry-after"))
            finally:
                await response.aclose()
    raise AssertionError("a name stands for at least one address")


async def _swallow(response: httpx.Response) -> None:
    """Take the beginning of an answer, so that its sender is not cut off; its status has been read."""
    taken = 0
    with contextlib.suppress(httpx.HTTPError, TimeoutError):
        async with asyncio.timeout(_ANSWER_SECONDS):
            async for piece in response.aiter_raw():
                taken += len(piece)
                if taken >= _ANSWER_BYTES:
                    return


def _seconds(header: str | None) -> float | None:
    return float(header) if header is not None and header.isascii() and header.isdigit() and len(header) < 10 else None


@functools.cache
def trusted() -> ssl.SSLContext:
    """The authorities that are trusted: those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR``, else Mozilla's."""
    return httpx.create_ssl_context()
