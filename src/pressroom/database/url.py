"""The database's address: SQLAlchemy's and libpq's spellings made one."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from pressroom.errors import Invalid

DRIVER = "postgresql+psycopg"
HIDDEN = "***"
_KEPT_ALIVE = {
    "keepalives": "1",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "11000",
}
"""After 5 s of silence asked every 2 s, and given up after 3 questions: 11 s; ``tcp_user_timeout``, in milliseconds,
says the same of what was sent. A worker counts as lost after 20 s."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+._-]*)://")
_DIALECTS = ("postgresql", "postgres")
_DRIVERS = ("", "psycopg", "psycopg2", "psycopg_async", "asyncpg")
_ASYNCPG_ONLY = frozenset({"async_fallback", "prepared_statement_cache_size", "prepared_statement_name_func"})
_SECRET = re.compile(r"password|secret|_key$")
_SPELLINGS = "write a URL such as postgresql://user:password@host:5432/notebook_manager, or libpq's key=value pairs"


def normalise(text: str) -> URL:
    """The SQLAlchemy URL, for psycopg, of a database named in SQLAlchemy's or libpq's spelling.

    A URI may name several hosts, a socket's directory (``?host=/run/postgresql``) and any parameter that libpq knows.
    What ``text`` leaves out, libpq takes from its own environment (``PGHOST``, ``PGPASSFILE``, ...).

    Raises ``Invalid`` where ``text`` is neither spelling, with a sentence that holds no part of it that may be secret.
    """
    text = text.strip()
    if not text:
        raise Invalid(f"The database's address is empty: {_SPELLINGS}.")
    if "\0" in text or not text.isprintable():
        raise Invalid("The database's address holds a character that cannot be printed.")
    scheme = _SCHEME.match(text)
    if scheme is None:
        if "=" not in text:
            raise Invalid(f"The database's address is not one that PostgreSQL understands: {_SPELLINGS}.")
        return _from_parameters(_parsed(text))
    dialect, _, driver = scheme[1].lower().partition("+")
    if dialect not in _DIALECTS:
        raise Invalid(
            f"The database's address starts with {scheme[1]}://, and only PostgreSQL is served: {_SPELLINGS}."
        )
    if driver not in _DRIVERS:
        raise Invalid(f"The database's address asks for the driver {driver}, and only psycopg is used: {_SPELLINGS}.")
    return _from_uri("postgresql://" + _query_for_libpq(text[scheme.end() :], driver))


def safe(url: URL) -> str:
    """``url`` as text, with everything secret in it hidden."""
    query = {key: HIDDEN if _SECRET.search(key) else value for key, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def conninfo(url: URL) -> str:
    """``url`` as libpq's key=value pairs, its password among them."""
    named = {"host": url.host, "port": url.port, "user": url.username, "password": url.password, "dbname": url.database}
    return make_conninfo("", **{key: str(value) for key, value in (named | dict(url.query)).items() if value})


def kept_alive(url: URL) -> URL:
    """``url`` with what has the system find out that the server vanished without a word, where it does not say itself.
    It matters over TCP only; without it the system takes two hours, or a quarter of one for what was sent."""
    return url.update_query_dict({name: value for name, value in _KEPT_ALIVE.items() if name not in url.query})


def without_password(sentence: str, url: URL) -> str:
    """``sentence`` with the secrets of ``url`` hidden, should a driver ever have put one there."""
    secrets = [url.password, *(value for key, value in url.query.items() if _SECRET.search(key))]
    for secret in secrets:
        if isinstance(secret, str) and secret:
            sentence = sentence.replace(secret, HIDDEN)
    return sentence


def _query_for_libpq(rest: str, driver: str) -> str:
    """What follows the scheme, with the parameters that only SQLAlchemy or asyncpg know in libpq's words."""
    address, mark, query = rest.rpartition("?")
    if not mark or "@" in query.partition("=")[0]:
        return rest
    pairs = parse_qsl(query, keep_blank_values=True)
    hosts = [value for key, value in pairs if key == "host"]
    if len(hosts) > 1:  # SQLAlchemy: host=a:5432&host=b:5432; libpq would keep the last alone
        split = [host.partition(":")[::2] for host in hosts]
        pairs = [(key, value) for key, value in pairs if key != "host"]
        pairs.append(("host", ",".join(host for host, _ in split)))
        if any(port for _, port in split):
            pairs.append(("port", ",".join(port for _, port in split)))
    if driver == "asyncpg":
        on = {"true": "require", "1": "require", "false": "disable", "0": "disable"}
        pairs = [("sslmode", on.get(value.lower(), value)) if key == "ssl" else (key, value) for key, value in pairs]
        pairs = [(key, value) for key, value in pairs if key not in _ASYNCPG_ONLY]
    return address + (mark + urlencode(pairs, quote_via=quote) if pairs else "")


def _from_uri(uri: str) -> URL:
    try:
        return _from_parameters(_parsed(uri))
    except Invalid as refused:
        # SQLAlchemy lets more characters of a password stand unescaped ("/", "%") than libpq does.
        try:
            return _from_parameters(_parsed(_read_by_sqlalchemy(uri)))
        except (ArgumentError, ValueError, Invalid):
            raise refused from None


def _read_by_sqlalchemy(uri: str) -> str:
    """``uri`` as libpq's key=value pairs."""
    url = make_url(uri)
    named = {"host": url.host, "port": str(url.port or ""), "dbname": url.database}
    named |= {"user": url.username, "password": url.password, **url.query}
    return " ".join(f"{key}={_quoted(value)}" for key, value in named.items() if isinstance(value, str) and value)


def _parsed(conninfo: str) -> dict[str, str]:
    try:
        found = conninfo_to_dict(conninfo)
    except (psycopg.Error, UnicodeError):
        # Not chained: libpq repeats the part that it could not read, which may be the password.
        raise _unreadable() from None
    return {key: str(value) for key, value in found.items() if value is not None}


def _unreadable() -> Invalid:
    return Invalid(
        "The database's address cannot be read: a part of it is not escaped (write %40 for @, %2F for /, %25 for %), "
        f"or it has a parameter that libpq does not know. It can also be said the other way: {_SPELLINGS}."
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _from_parameters(parameters: Mapping[str, str]) -> URL:
    rest = dict(parameters)
    username, password, database = (rest.pop(key, None) or None for key in ("user", "password", "dbname"))
    host, ports = rest.get("host", ""), rest.get("port", "")
    if not all(
        port == "" or (port.isascii() and port.isdigit() and 0 < int(port) < 65536) for port in ports.split(",")
    ):
        raise _unreadable()
    hosts = max(host.count(","), rest.get("hostaddr", "").count(",")) + 1
    if ports.count(",") and ports.count(",") + 1 != hosts:
        raise Invalid(f"The database's address names {ports.count(',') + 1} ports for {hosts} host(s).")
    rest = {key: value for key, value in rest.items() if value}
    if "," in host + ports or host.startswith(("/", "@")):
        # Several hosts and sockets have no place before the path of an URL: there they travel as parameters.
        if ports and "," not in ports and hosts > 1:
            rest["port"] = ",".join([ports] * hosts)  # SQLAlchemy wants one each
        return URL.create(DRIVER, username, password, database=database, query=rest)
    rest.pop("host", None)
    rest.pop("port", None)
    port = int(ports) if ports else None
    if port is not None and not host:
        rest["port"] = ports  # a port alone is lost in text without a host before it
        port = None
    return URL.create(DRIVER, username, password, host or None, port, database, query=rest)
