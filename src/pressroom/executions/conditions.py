"""What is asked of executions that are compared, as text: ``results.rmse < 0.2 and status = success``.

::

    conditions = condition { "and" condition }
    condition  = field ( "<" | "<=" | ">" | ">=" | "=" | "!=" ) value
    field      = "id" | "status" | "started_at" | "seconds" | ( "parameters" | "results" ) "." name
    name       = characters without spaces, commas, quotes, "<", ">", "=" and "!", or any in double quotes
    value      = a number, true, false, null, a text in quotes, or one word
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from typing import Literal

from pressroom.errors import Invalid
from pressroom.wire import checked

Operator = Literal["<", "<=", ">", ">=", "=", "!="]
Value = Decimal | bool | str | datetime | None
PLAIN = ("id", "status", "started_at", "seconds")
"""Fields of an execution itself."""
PARAMETERS, RESULTS = "parameters", "results"
MOST = 50
"""Conditions that are asked at once."""
MOST_KEYS = 20
"""Keys of a sort. PostgreSQL gives up over so many hundred of them."""
MOST_COLUMNS = 500
"""Columns that are named at once."""
_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r'(?:(parameters|results)\.(?:"((?:[^"\\]|\\.)*)"|([^\s,"<>=!\']+))|([a-z_]+))')
_OPERATOR = re.compile(r"<=|>=|!=|==|=|<|>")
_VALUE = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|([^\s"\']+)')
_AND = re.compile(r"and\b", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d{1,400}(?:\.\d{0,400})?|\.\d{1,400})(?:[eE][+-]?\d{1,3})?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a comparison: ``group`` is empty for those of :data:`PLAIN`."""

    group: str
    name: str

    @property
    def column(self) -> str:
        """How the column is called."""
        return f"{self.group}.{self.name}" if self.group else self.name


@dataclass(frozen=True, slots=True)
class Condition:
    """That a field compares with a value so."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Key:
    """By what is sorted."""

    field: Field
    descending: bool


class _Text:
    """A text that is read from its beginning."""

    def __init__(self, text: str, what: str) -> None:
        self._text, self._what, self._at = text, what, 0
        self._skip()

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    @property
    def at_end(self) -> bool:
        return self._at == len(self._text)

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What comes next, if it is this."""
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
            self._skip()
        return found

    def wrong(self, wanted: str) -> Invalid:
        rest = self._text[self._at : self._at + 40]
        return Invalid(f"{self._what}: {wanted} is expected {f'at {rest!r}' if rest else 'at the end'}.")

    def field(self) -> Field:
        found = self.take(_FIELD)
        if found is None:
            raise self.wrong(f"{', '.join(PLAIN)}, parameters.NAME or results.NAME")
        group, quoted, bare, plain = found.groups()
        if group is None and plain not in PLAIN:
            raise Invalid(f"{self._what}: {plain!r} is no column; there are {', '.join(PLAIN)}, parameters.NAME and "
                          "results.NAME.")  # fmt: skip
        name = _unquoted(quoted) if quoted is not None else bare or plain
        try:
            return Field(group or "", checked(name))
        except ValueError as error:
            raise Invalid(f"{self._what}: the name {error}.") from error

    def value(self, field: Field) -> Value:
        found = self.take(_VALUE)
        if found is None:
            raise self.wrong("a value")
        double, single, word = found.groups()
        text = double if double is not None else single
        if text is None and word in _WORDS:
            return _WORDS[word]
        if text is None and _NUMBER.fullmatch(word):
            return Decimal(word)
        try:
            given = checked(word if text is None else _unquoted(text))
        except ValueError as error:
            raise Invalid(f"{self._what}: the value {error}.") from error
        return self._moment(given) if field.column == "started_at" else given

    def _moment(self, text: str) -> datetime:
        try:
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise Invalid(f"{self._what}: {text!r} is no time, such as 2026-10-01T08:00:00Z.") from error


def conditions(texts: Sequence[str]) -> tuple[Condition, ...]:
    """The conditions that texts spell, all of which must hold. Raises :class:`Invalid`."""
    found = tuple(condition for text in texts for condition in _conditions(text))
    if len(found) > MOST:
        raise Invalid(f"where: {len(found)} conditions are more than {MOST}.")
    return found


def _conditions(text: str) -> Iterator[Condition]:
    reading = _Text(text, "where")
    while True:
        field = reading.field()
        if (operator := reading.take(_OPERATOR)) is None:
            raise reading.wrong("one of <, <=, >, >=, = and !=")
        condition = Condition(field, "=" if operator[0] == "==" else operator[0], reading.value(field))  # pyright: ignore[reportArgumentType]
        _require_sense(condition)
        yield condition
        if reading.at_end:
            return
        if reading.take(_AND) is None:
            raise reading.wrong("'and'")


def _require_sense(condition: Condition) -> None:
    field, value = condition.field, condition.value
    if (value is None or isinstance(value, bool)) and condition.operator not in ("=", "!="):
        raise Invalid(f"where: {field.column} can be compared with {str(value).lower()} by = and != only.")
    kinds = {"id": Decimal, "seconds": Decimal, "status": str, "started_at": datetime}
    wanted = kinds.get(field.name) if not field.group else None
    if wanted is not None and value is not None and not isinstance(value, wanted):
        words = {Decimal: "a number", str: "a text", datetime: "a time"}
        raise Invalid(f"where: {field.column} is compared with {words[wanted]}.")


def fields(texts: Sequence[str], what: str) -> tuple[Field, ...]:
    """The columns that texts name, parted by commas. Raises :class:`Invalid`."""
    return tuple(key.field for key in _bounded(_keys(texts, what, signed=False), what, MOST_COLUMNS))


def keys(texts: Sequence[str]) -> tuple[Key, ...]:
    """The keys of a sort, parted by commas; a minus before one is for descending. Raises :class:`Invalid`."""
    return tuple(_bounded(_keys(texts, "sort", signed=True), "sort", MOST_KEYS))


_MINUS, _COMMA = re.compile(r"-"), re.compile(r",")


def _keys(texts: Sequence[str], what: str, *, signed: bool) -> Iterator[Key]:
    for text in texts:
        reading = _Text(text, what)
        while True:
            descending = signed and reading.take(_MINUS) is not None
            yield Key(reading.field(), descending)
            if reading.at_end:
                break
            if reading.take(_COMMA) is None:
                raise reading.wrong("a comma")


def _bounded(keys: Iterator[Key], what: str, most: int) -> list[Key]:
    found = list(islice(keys, most + 1))
    if len(found) > most:
        raise Invalid(f"{what}: more than {most} columns are named.")
    return found


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)
