"""What an execution recorded, as it is read: its results and its artifacts. Whoever may see the execution may see
them; the caller of these has asked."""

from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import quote

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution, ExecutionArtifact, ExecutionResult
from pressroom.errors import NotFound, PathNotAllowed, Unavailable
from pressroom.executions import artifacts
from pressroom.executions.result_schemas import ArtifactOut, ResultKind, ResultOut
from pressroom.notebooks.places import Places
from pressroom.press.results import NOT_FINITE

JSON = "application/json"
_NAMES = frozenset(NOT_FINITE.values())


@dataclass(frozen=True, slots=True)
class Recorded:
    """One result: its ``value``, or ``data`` of a media type."""

    kind: ResultKind
    value: Any
    media_type: str
    data: bytes | None


def kind_of(value: object) -> ResultKind:
    """The kind of a value of the row's own."""
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) and value not in _NAMES else "number"


async def results(session: AsyncSession, execution: Execution, prefix: str = "") -> list[ResultOut]:
    """All results of an execution, by name, each with its address under ``prefix``."""
    table = ExecutionResult
    wanted = select(table.name, table.kind, table.media_type, func.length(table.data).label("size"))
    large = (await session.execute(wanted.where(table.execution_id == execution.id))).all()
    at = f"{prefix}/db/executions/{execution.id}/results"
    found = [
        ResultOut(name=name, kind=kind_of(value), value=value, media_type=JSON, size=None, href=f"{at}/{_part(name)}")
        for name, value in (execution.results or {}).items()
    ]
    for row in large:
        facts = {"name": row.name, "kind": row.kind, "media_type": row.media_type, "size": row.size}
        found.append(ResultOut.model_validate(facts | {"value": None, "href": f"{at}/{_part(row.name)}"}))
    return sorted(found, key=lambda result: result.name)


async def result(session: AsyncSession, execution: Execution, name: str) -> Recorded:
    """One result. Raises :class:`NotFound`."""
    small = execution.results or {}
    if name in small:
        return Recorded(kind_of(small[name]), small[name], JSON, None)
    row = None if "\0" in name else await session.get(ExecutionResult, (execution.id, name))
    if row is None:
        raise NotFound("result", name, f"Execution {execution.id} has recorded no result {name[:100]!r}.")
    return Recorded(row.kind, None, row.media_type, row.data)  # pyright: ignore[reportArgumentType]


async def files(session: AsyncSession, execution: Execution, prefix: str = "") -> list[ArtifactOut]:
    """The artifacts of an execution, by path, each with its address under ``prefix``."""
    wanted = select(ExecutionArtifact).where(ExecutionArtifact.execution_id == execution.id)
    at = f"{prefix}/db/executions/{execution.id}/artifacts"
    return [
        ArtifactOut(path=row.path, size=row.size, media_type=row.media_type, href=f"{at}/{quote(row.path)}")
        for row in await session.scalars(wanted.order_by(ExecutionArtifact.path))
    ]


async def file(session: AsyncSession, execution: Execution, path: str) -> ExecutionArtifact:
    """One artifact as it was listed. Raises :class:`NotFound`."""
    row = None if "\0" in path else await session.get(ExecutionArtifact, (execution.id, path))
    if row is None:
        raise NotFound("artifact", path, f"Execution {execution.id} has left no artifact {path[:100]!r}.")
    return row


def opened(places: Places, execution: Execution, path: str) -> BinaryIO:
    """The file of an artifact that was listed. Blocks on the file system: call it in a thread.

    Raises :class:`NotFound` where it is gone, or a link now, and :class:`Unavailable` where it cannot be read.
    """
    directory = artifacts.place(places, str(execution.output_path), execution.username, execution.id, execution.attempt)
    try:
        return artifacts.opened(directory, path)
    except (NotFound, PathNotAllowed) as error:
        raise NotFound("artifact", path, f"The artifact {path[:100]!r} is not there any more.") from error
    except OSError as error:
        raise Unavailable("artifact", f"{path[:100]} cannot be read: {error.strerror}") from error


def _part(name: str) -> str:
    return quote(name, safe="")
