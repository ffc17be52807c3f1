"""What a notebook records: results by name, found in what it displays, before anything of it is shown or kept.

Three ways are understood, in every language, since they are media types of Jupyter's display messages: our own
(:data:`RESULT`, or anything that is shown with ``{"pressroom": {"name": ...}}`` as its metadata), those of nteract's
scrapbook (``application/scrapbook.scrap.*+json``, and what it shows under a name), and Papermill's older ``record``.
"""

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

from pressroom.press.events import Result
from pressroom.press.masks import Masks

RESULT = "application/vnd.pressroom.result+json"
"""Our own media type: an object of a ``name`` and one of ``value``, ``table``, ``image`` (with a ``media_type``)."""
TABLE = "application/vnd.pressroom.table+json"
"""The media type of a table as it is kept: ``{"columns": [...], "data": [[...], ...]}``."""
PARQUET = "application/vnd.apache.parquet"
MOST = 1000
"""Results of one execution."""
MOST_BYTES = 5 * 2**20
"""Bytes of one result: as an event, in Base64, it is a line that its reader takes."""
LONGEST_NAME = 255
"""Characters of a name."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""Characters that no name of a result or of an artifact has: in an address or on a terminal they do harm."""
MEDIA_TYPE = re.compile(r"[a-zA-Z0-9][\w.+-]{0,99}/[\w.+-]{1,100}", re.ASCII)
"""What may stand in a header as a media type."""
SHORT = 1000
"""Characters of the longest text that is a value; a longer one is data."""
NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
"""How numbers are told that JSON does not have, by how kernels write them."""
_SAID = 20
"""Refusals that are told of; a loop may make thousands."""
_SCRAP = "application/scrapbook.scrap."
_RECORD = "application/papermill.record"
_IMAGE = re.compile(r"image/[\w.+-]{1,100}", re.ASCII)
_OF_EVENT = 100
"""Bytes that an event has besides its name and what it carries."""
_SHOWN = (
    "image/png", "image/svg+xml", "image/jpeg", "image/gif", "image/webp", "application/json", "text/html",
    "text/markdown", "text/latex", "text/plain",
)  # fmt: skip
"""What of a thing that is shown is taken, the best first."""


class Refused(Exception):
    """A result that is not kept; says why, completing the sentence "it ..."."""


class Results:
    """What one execution has recorded so far: each name's last one counts.

    ``max_bytes``: of all together. Names that are recorded again and again are told until twice that has been; from
    then on :meth:`rest` has the last of each. ``masks`` keep secrets out of names, and of what came as Base64; the
    values in messages come masked.
    """

    def __init__(self, max_bytes: int, masks: Masks | None = None) -> None:
        self._limit, self._masks = max_bytes, masks
        self._untold = 2 * max_bytes + MOST * _OF_EVENT
        self._held: dict[str, Result] = {}
        self._sizes: dict[str, int] = {}
        self._recorded: set[str] = set()
        self._refusals = 0

    def take(self, content: Mapping[str, Any]) -> Iterator[Result | str]:
        """The results in the content of a display message, and a sentence for each that is not kept."""
        data = content["data"]
        ours = [media for media in data if media.startswith((RESULT, _SCRAP, _RECORD))]
        given = content.get("metadata")
        marks = cast("dict[str, Any]", given) if isinstance(given, dict) else {}
        if not ours and "scrapbook" not in marks and "pressroom" not in marks:
            return
        for media in ours:
            for name, recorded in _named(media, data[media]):
                yield from self._take(name, media, recorded, shown=False)
        if not ours:
            for key in ("pressroom", "scrapbook"):
                mark = marks.get(key)
                name = cast("dict[str, Any]", mark).get("name") if isinstance(mark, dict) else None
                if isinstance(name, str):
                    yield from self._take(name, None, data, shown=key == "scrapbook")

    def rest(self) -> Iterator[Result]:
        """What was held back, at the end."""
        yield from self._held.values()
        self._held = {}

    def _take(self, name: Any, media: str | None, given: Any, *, shown: bool) -> Iterator[Result | str]:
        if isinstance(name, str) and self._masks is not None:
            name = self._masks.text(name)  # as the name in an object it came unmasked
        if shown and name in self._recorded:
            return  # scrapbook shows what it has recorded, too
        try:
            result = self._fitting(_result(name, media, given, self._masks))
        except (Refused, RecursionError) as error:
            why = str(error) if isinstance(error, Refused) else "is nested too deep"
            self._refusals += 1
            if self._refusals <= _SAID:
                called = repr(name[:LONGEST_NAME]) if isinstance(name, str) else "without a name"
                yield f"The result {called} is not kept: it {why}.\n"
            if self._refusals == _SAID:
                yield "Of further results that are not kept nothing is said.\n"
            return
        if not shown:
            self._recorded.add(result.name)
        cost = self._sizes[result.name] + len(result.name) + _OF_EVENT
        if cost > self._untold:
            self._held[result.name] = result
            return
        self._untold -= cost
        self._held.pop(result.name, None)
        yield result

    def _fitting(self, result: Result) -> Result:
        size = len(result.data) if result.data is not None else len(json.dumps(result.value))
        if result.name not in self._sizes and len(self._sizes) >= MOST:
            raise Refused(f"is one more than the {MOST} that an execution may have")
        if size > MOST_BYTES:
            raise Refused(f"has {size / 2**20:.3g} MiB, and one may have {MOST_BYTES / 2**20:g}")
        sizes = self._sizes | {result.name: size}
        if sum(sizes.values()) > self._limit:
            raise Refused(f"and the others have more than {self._limit / 2**20:g} MiB, the limit of all together")
        self._sizes[result.name] = size
        return result


def number(value: float) -> float | str:
    """A number as JSON has it, else its name."""
    return value if math.isfinite(value) else NOT_FINITE[repr(float(value))]


def _named(media: str, content: Any) -> Iterator[tuple[Any, Any]]:
    """The names in the content of one of the media types, and what stands under each."""
    if isinstance(content, str) and media.startswith((RESULT, _RECORD)):
        try:
            content = json.loads(content)
        except ValueError:
            content = None  # it is refused by the name that it lacks
    if not isinstance(content, dict):
        yield None, None
        return
    given = cast("dict[str, Any]", content)
    if media.startswith(_RECORD):
        yield from given.items()
    else:
        yield given.get("name"), given


def _result(name: Any, media: str | None, given: Any, masks: Masks | None) -> Result:
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST_NAME:
        raise Refused(f"has no name, which is a text of 1 to {LONGEST_NAME} characters")
    if CONTROL.search(name) or not _is_unicode(name):
        raise Refused("has a name with a character that cannot be kept")
    if name in (".", ".."):
        raise Refused("has a name that no address can end in")
    if media is None:
        return _shown(name, given, masks)
    if media.startswith(_RECORD):
        return _value(name, given)
    if media.startswith(_SCRAP):
        return _scrap(name, given, masks)
    if "table" in given:
        return _table(name, given["table"])
    if "image" in given:
        return _image(name, given.get("media_type", "image/png"), given["image"], masks)
    if "value" not in given:
        raise Refused("has none of value, table and image")
    return _value(name, given["value"])


def _scrap(name: str, given: dict[str, Any], masks: Masks | None) -> Result:
    data, encoder = given.get("data"), given.get("encoder")
    if encoder == "pandas" and isinstance(data, str):
        return Result(name, "table", media_type=PARQUET, data=_decoded(data, masks))
    if encoder == "json" and isinstance(data, str):
        try:
            data = json.loads(data)  # as scrapbook reads it
        except ValueError:
            return _text(name, data)
    if encoder == "text" and isinstance(data, str):
        return _text(name, data)
    return _value(name, data)


def _value(name: str, value: Any) -> Result:
    if isinstance(value, bool):
        return Result(name, "boolean", value)
    if isinstance(value, int | float):
        return Result(name, "number", number(value) if isinstance(value, float) else value)
    if isinstance(value, str):
        return Result(name, "number", value) if value in NOT_FINITE.values() else _text(name, value)
    return Result(name, "json", media_type="application/json", data=_json(value))


def _text(name: str, text: str, media_type: str = "text/plain") -> Result:
    text = text if _is_unicode(text) else text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= SHORT and media_type == "text/plain":
        return Result(name, "string", text.replace("\0", "\\x00"))
    return Result(name, "string", media_type=media_type, data=text.encode())


def _table(name: str, table: Any) -> Result:
    """A table as pandas writes it with ``orient="split"``: an index that is not just numbers becomes columns."""
    try:
        table = json.loads(table) if isinstance(table, str) else table
        columns: list[Any] = list(table["columns"])
        rows: list[list[Any]] = [list(row) for row in table["data"]]
        index: list[Any] = list(table.get("index") or range(len(rows)))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused("is no table, which is an object of columns, and of data as a list of rows") from error
    if any(len(row) != len(columns) for row in rows) or len(index) != len(rows):
        raise Refused("is no table: its rows have not as many values as it has columns")
    if index != list(range(len(rows))):
        keys: list[list[Any]] = [cast("list[Any]", key) if isinstance(key, list) else [key] for key in index]
        levels = len(keys[0])
        if any(len(key) != levels for key in keys):
            raise Refused("is no table: its index has entries of different lengths")
        columns = (["index"] if levels == 1 else [f"index_{level}" for level in range(levels)]) + columns
        rows = [key + row for key, row in zip(keys, rows, strict=True)]
    names = [column if isinstance(column, str) else json.dumps(column) for column in columns]
    return Result(name, "table", media_type=TABLE, data=_json({"columns": names, "data": rows}))


def _image(name: str, media_type: Any, image: Any, masks: Masks | None) -> Result:
    image = "".join(map(str, cast("list[Any]", image))) if isinstance(image, list) else image
    is_image = isinstance(media_type, str) and media_type.startswith("image/") and MEDIA_TYPE.fullmatch(media_type)
    if not is_image or not isinstance(image, str):
        raise Refused("is no image, which is Base64 and a media type like image/png")
    if media_type == "image/svg+xml" and image.lstrip().startswith("<"):
        return Result(name, "image", media_type=media_type, data=image.encode("utf-8", "backslashreplace"))
    return Result(name, "image", media_type=media_type, data=_decoded(image, masks))


def _shown(name: str, bundle: Mapping[str, Any], masks: Masks | None) -> Result:
    """The best of what is shown."""
    media = next((media for media in _SHOWN if media in bundle), None)
    if media is None:
        raise Refused(f"is shown as none of {', '.join(_SHOWN)}")
    given = bundle[media]
    if media.startswith("image/"):
        return _image(name, media, given, masks)
    if media == "application/json":
        return _value(name, given)
    text = given if isinstance(given, str) else "".join(map(str, cast("list[Any]", given)))
    if media == "text/html":
        return Result(name, "html", media_type=media, data=text.encode("utf-8", "backslashreplace"))
    return _text(name, text, media)


def _decoded(text: str, masks: Masks | None) -> bytes:
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refused("is not the Base64 that it should be") from error
    return data if masks is None else masks.binary(data)


def _json(value: Any) -> bytes:
    return json.dumps(finite(value), ensure_ascii=True, separators=(",", ":")).encode()


def finite(value: Any) -> Any:
    """The same JSON, with null in place of numbers that it does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [finite(inner) for inner in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in cast("dict[str, Any]", value).items()}
    return value


def _is_unicode(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
