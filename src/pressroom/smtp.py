"""The mail server that the settings name, and addresses that a header can carry."""

import re
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.utils import getaddresses
from urllib.parse import parse_qsl, unquote, urlsplit

_SPELLING = "write it as smtp://user:password@host:587 or smtps://host, what is special in the password as %40"
_STARTTLS = {"auto": None, "always": True, "never": False}
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"([A-Za-z0-9!#$%&'*+/=?^_`{{|}}~.-]{{1,64}})@({_LABEL}(?:\.{_LABEL})*)")
_LONGEST = 254


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where e-mail is handed in. ``tls``: encrypted from the first byte. ``starttls``: ``None`` where it is offered."""

    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)
    tls: bool
    starttls: bool | None


def mail_server(url: str) -> MailServer:
    """The server of ``smtp://user:password@host:587?starttls=auto`` or ``smtps://...``.

    Raises ``ValueError`` with a sentence that holds no part of it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ValueError(f"cannot be read; {_SPELLING}") from None
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.path not in ("", "/") or parts.fragment:
        raise ValueError(f"is not the address of a mail server; {_SPELLING}")
    starttls = query.pop("starttls", "auto")
    if query or starttls not in _STARTTLS:
        raise ValueError("may say ?starttls=auto, always or never, and nothing else")
    tls = parts.scheme == "smtps"
    if tls and starttls == "always":
        raise ValueError("may say ?starttls=always only with smtp://, since smtps:// is encrypted from the start")
    if parts.password is not None and not parts.username:
        raise ValueError(f"has a password and no user; {_SPELLING}")
    return MailServer(
        host=parts.hostname,
        port=port or (465 if tls else 587),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        starttls=False if tls else _STARTTLS[starttls],
    )


def is_address(text: str) -> bool:
    """Whether ``text`` is a plain e-mail address, in ASCII: ``ana@example.com``."""
    found = _ADDRESS.fullmatch(text)
    if found is None or len(text) > _LONGEST:
        return False
    return not found[1].startswith(".") and not found[1].endswith(".") and ".." not in found[1]


def mailbox(text: str) -> Address:
    """The sender or the receiver in ``ana@example.com`` or ``Ana <ana@example.com>``. Raises ``ValueError``."""
    found = getaddresses([text]) if text.isprintable() else []
    if len(found) != 1 or not is_address(found[0][1]):
        raise ValueError("is not an e-mail address; write it as reports@example.com or Reports <reports@example.com>")
    name, address = found[0]
    return Address(name, addr_spec=address)
