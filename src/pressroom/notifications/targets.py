"""Whom a notification may go to, judged when it is made."""

import base64
import binascii
import secrets

import httpx

from pressroom.errors import Invalid, shown
from pressroom.notifications.addresses import REFUSED, is_public, literal
from pressroom.smtp import is_address

SECRET_PREFIX = "whsec_"  # noqa: S105 - what Standard Webhooks writes before a key
_SHORTEST, _LONGEST = 24, 64
_HIGHEST_PORT = 65535


def check_url(url: str, *, private: bool) -> None:
    """Raise :class:`Invalid` unless a webhook may have this URL. A name is looked up when it is used, not here."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as error:
        raise Invalid(f"{shown(url)!r} is not a URL: {error}.") from error
    host = parsed.raw_host.decode("ascii")
    if parsed.scheme not in ("http", "https"):
        raise Invalid(f"{shown(url)!r} is not the URL of a webhook: it must start with https:// or http://.")
    if not host or "%" in host:
        raise Invalid(f"{shown(url)!r} is not the URL of a webhook: it names no host.")
    if parsed.userinfo:
        raise Invalid("The URL of a webhook must not hold a user or a password; its receiver checks the signature.")
    if parsed.port is not None and not 0 < parsed.port <= _HIGHEST_PORT:
        raise Invalid(f"{shown(url)!r} is not the URL of a webhook: there is no port {parsed.port}.")
    address = literal(host)
    if address is not None and not private and not is_public(address):
        raise Invalid(f"{shown(host)} is {REFUSED}.")


def check_address(address: str) -> None:
    """Raise :class:`Invalid` unless an e-mail can be sent to ``address``."""
    if not is_address(address):
        raise Invalid(f"{shown(address)!r} is not an e-mail address; write it as ana@example.com.")


def check_secret(secret: str) -> None:
    """Raise :class:`Invalid` unless ``secret`` is a key as Standard Webhooks writes it."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise Invalid(
            f"The secret of a webhook is {SECRET_PREFIX} and 24 to 64 bytes in Base64; leave it out to get one."
        )


def new_secret() -> str:
    """A key of 32 bytes that nobody knows."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()
