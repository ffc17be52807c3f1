"""Pages: a template, what stands around it, and what a browser is told of it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, cast
from urllib.parse import quote, urlencode

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from pressroom import __version__
from pressroom.compression import compressed
from pressroom.identity.authentication import known_caller, session_secret
from pressroom.identity.cookies import csrf_token, masked
from pressroom.identity.policy import is_admin
from pressroom.prefix import path_inside
from pressroom.web.assets import ASSETS, PATH

HEADERS = {
    # Nothing but our own files: no script and no style stands in a page itself.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer, which other answers have, a browser would not say which site a form was sent from.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
THEMES = ("auto", "light", "dark")
THEME_COOKIE = "pressroom_theme"
NOTICES = {
    "cancelled": "It was cancelled before it started.",
    "cancelling": "It was asked to stop, and is killed some seconds later if it goes on.",
    "registered": "The notebook is registered.",
    "submitted": "It is submitted.",
    "again": "It is executed again: this is the new execution.",
    "batch": "The batch has begun.",
    "batch-again": "It is executed again: this is the new batch.",
    "batch-stopping": "Nothing of it starts any more; what runs is being stopped.",
    "scheduled": "The schedule is saved.",
    "paused": "It is paused: no tick fires until it is resumed.",
    "resumed": "It is resumed, from the next tick on.",
    "deleted": "It is deleted.",
    "granted": "What others may do is saved.",
    "parameters": "The parameters are saved.",
    "revoked": "The token is worthless from now on.",
}
"""What a page says of what was just done, by the word in its address."""
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def seconds_in_words(seconds: float | None) -> str:
    """A span of time as people say it: ``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``, ``4 d 3 h``."""
    if seconds is None:
        return ""
    seconds = max(0.0, float(seconds))
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, names in ((_DAY, _HOUR, "d h"), (_HOUR, _MINUTE, "h min"), (_MINUTE, 1, "min s")):
        if whole >= large:
            more, less = divmod(whole, large)
            first, second = names.split()
            rest = less // small
            return f"{more} {first} {rest} {second}" if rest else f"{more} {first}"
    return f"{whole} s"


def bytes_in_words(size: int) -> str:
    """A size as people say it: ``812 B``, ``4.1 KB``, ``23 MB``."""
    number, unit = float(size), "B"
    for unit in ("B", "KB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if unit == "B" or number >= 9.95 else f"{number:.1f} {unit}"


def value_in_words(value: Any) -> str:
    """A value of a parameter or a result on one line: a text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def figure_in_words(value: Any) -> str:
    """A value as a table has it: a number to five significant digits, all else as :func:`value_in_words`."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return value_in_words(value)


def moment_of(value: datetime | str) -> datetime:
    """A time, in UTC, of what travels as one."""
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC)


def _iso(value: datetime | str) -> str:
    return moment_of(value).isoformat().replace("+00:00", "Z")


def _utc(value: datetime | str) -> str:
    return f"{moment_of(value):%Y-%m-%d %H:%M:%S} UTC"


def _counted(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _name_of_file(path: str) -> str:
    return PurePosixPath(path).stem


def _segment(text: str) -> str:
    """A text as one part of a path."""
    return quote(text, safe="")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("pressroom.web"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    cast("dict[str, Any]", environment.filters).update(
        {
            "seconds": seconds_in_words,
            "bytes": bytes_in_words,
            "value": value_in_words,
            "figure": figure_in_words,
            "iso": _iso,
            "utc": _utc,
            "counted": _counted,
            "stem": _name_of_file,
            "segment": _segment,
        }
    )
    cast("dict[str, Any]", environment.globals).update(version=__version__, themes=THEMES)
    return environment


class Surroundings:
    """What a template knows of the request, beside its own values: who looks, and how addresses are made."""

    def __init__(self, request: Request) -> None:
        self._scope = request.scope
        self.root: str = request.scope.get("root_path", "").rstrip("/")
        caller = known_caller(request.scope)
        self.username = caller.username if caller else None
        self.is_admin = caller is not None and is_admin(caller)
        secret = session_secret(request.scope)
        self.signed_in = secret is not None
        self.csrf = masked(csrf_token(secret)) if secret is not None else ""
        given = request.cookies.get(THEME_COOKIE, "auto")
        self.theme = given if given in THEMES else "auto"
        self.said = request.query_params.get("notice", "")
        self.notice = NOTICES.get(self.said)
        query = [(key, value) for key, value in request.query_params.multi_items() if key != "notice"]
        asked = path_inside(request.scope) + (f"?{urlencode(query)}" if query else "")
        self.here: str = getattr(request.state, "form_page", asked)
        """The path of this page, with its query; of one that answers a form, that of the page which the form is on."""

    def url(self, path: str, /, **query: Any) -> str:
        """The address of a path of this service; what of the query is ``None`` is left out."""
        said = {key: value for key, value in query.items() if value is not None}
        return f"{self.root}{quote(path)}" + (f"?{urlencode(said, doseq=True)}" if said else "")

    def asset(self, name: str) -> str:
        """The address of a file that the page loads."""
        return f"{self.root}{PATH}/{ASSETS[name].name}"

    def is_at(self, section: str) -> bool:
        """Whether this page belongs to a section of the navigation."""
        path = path_inside(self._scope)
        return path == section or path.startswith(f"{section}/")


def page(
    request: Request, template: str, *, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """The page of a template, to whoever sent the request. ``values`` are what the template names."""
    text = _environment().get_template(template).render(app=Surroundings(request), **values)
    # What is secret in a page, the token of its forms, is masked: how well it compresses tells nothing of it.
    # What notebooks wrote may hold halves of characters.
    body, told = compressed(text.encode("utf-8", "backslashreplace"), request.headers.get("accept-encoding", ""))
    return HTMLResponse(body, status, {**HEADERS, **told, **(headers or {})})
