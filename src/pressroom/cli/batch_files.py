"""What ``pressroom batches run`` is told: a notebook by id or file, files of sets, values and ranges."""

import re
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches import uploads
from pressroom.cli.pairs import assigned
from pressroom.cli.room import absolute
from pressroom.database.models import Notebook
from pressroom.errors import Invalid, NotFound, TooLarge
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.identity.visibility import sees_notebook
from pressroom.settings import MEBIBYTE, Settings

_RANGE = re.compile(r"(?P<min>[^.,].*?)\.\.(?P<max>[^,]+)(?P<log>,log)?")
_SETS = TypeAdapter(list[dict[str, Any]])


async def notebook_id_of(session: AsyncSession, principal: Principal, named: str) -> int:
    """The id of a notebook that is named by it, or by its file. Raises :class:`NotFound`."""
    if named.isascii() and named.isdigit():
        return int(named)
    path = absolute(named)
    wanted = select(Notebook.id).where(Notebook.file_path == path, *sees_notebook(viewer(principal)))
    found = await session.scalar(wanted)
    if found is None:
        sentence = f"No notebook is registered for {path}; `pressroom notebooks add` registers one."
        raise NotFound("notebook", path, sentence)
    return found


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


def read(path: Path, settings: Settings) -> list[Any]:
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
        return list(uploads.read(data, settings.batch_limit, limit).sets)
    try:
        return _SETS.validate_json(data)
    except ValidationError as error:
        raise Invalid(f"{path} is no list of objects in JSON.") from error
