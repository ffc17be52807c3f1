"""What ``pressroom batches run`` is told: files of sets, values and ranges."""

import re
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError

from pressroom.batches import uploads
from pressroom.batches.plans import Set
from pressroom.batches.uploads import Table
from pressroom.cli.pairs import assigned
from pressroom.errors import Invalid, TooLarge
from pressroom.settings import MEBIBYTE, Settings

_RANGE = re.compile(r"(?P<min>[^.,].*?)\.\.(?P<max>[^,]+)(?P<log>,log)?")
_SETS = TypeAdapter(list[Set])


def values(text: str) -> list[str]:
    """The values of ``A,B,...``."""
    return [part.strip() for part in text.split(",")]


def ranges(given: list[str] | None) -> dict[str, dict[str, Any]]:
    """The ranges of ``NAME=MIN..MAX`` or ``NAME=MIN..MAX,log``. Raises ``typer.BadParameter``."""
    found: dict[str, dict[str, Any]] = {}
    for name, text in assigned(given, "--range").items():
        parts = _RANGE.fullmatch(text.strip())
        if parts is None:
            raise typer.BadParameter(f"{name}={text} is no range; write {name}=1..10, or {name}=0.001..1,log")
        found[name] = {"min": _number(parts["min"]), "max": _number(parts["max"]), "log": parts["log"] is not None}
    return found


def _number(text: str) -> float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is no number")


def read(path: Path, settings: Settings) -> Table:
    """The sets of a file. Blocks on it. Raises :class:`Invalid`, and as :func:`pressroom.batches.uploads.read`."""
    limit = int(settings.max_notebook_mb * MEBIBYTE)
    try:
        with path.expanduser().open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Invalid(f"{path} cannot be read: {error.strerror}.") from error
    if len(data) > limit:
        raise TooLarge(str(path), limit)
    if path.suffix != ".json":
        return uploads.read(data, settings.batch_limit, limit)
    try:
        sets = _SETS.validate_json(data)
        return Table(list(dict.fromkeys(name for each in sets for name in each)), sets, texts=False)
    except ValidationError as error:
        raise Invalid(f"{path} is no list of objects in JSON.") from error
