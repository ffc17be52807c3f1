# pandas and pyarrow ship few types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""What the clients do with what executions recorded: each call once, and the methods of both that send it."""

import io
import json
import re
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast
from urllib.parse import quote

import httpx

from pressroom.client.calls import Call, raise_for_problem, unreachable
from pressroom.errors import NotInstalled
from pressroom.executions.result_schemas import ArtifactOut, DifferenceOut, ResultOut
from pressroom.executions.states import Status

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")
MOST_ROWS = 50_000
"""Rows of a comparison that are asked for at once."""
_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_PLAIN, _QUOTED = re.compile(r"[^\s,\"<>=!']+"), re.compile(r'"(?:[^"\\]|\\.)*"')
_ARROW = "application/vnd.apache.arrow.stream"
Texts = str | Sequence[str]


def _results(execution_id: int) -> Call[list[ResultOut]]:
    return Call("GET", f"/db/executions/{execution_id}/results", list[ResultOut])


def _result(execution_id: int, name: str, form: str | None) -> Call[bytes]:
    path = f"/db/executions/{execution_id}/results/{quote(name, safe='')}"
    return Call("GET", path, bytes, query={"format": form})


def _artifacts(execution_id: int) -> Call[list[ArtifactOut]]:
    return Call("GET", f"/db/executions/{execution_id}/artifacts", list[ArtifactOut])


def _artifact(execution_id: int, path: str) -> str:
    return f"/db/executions/{execution_id}/artifacts/{quote(path)}"


def _diff(before: int, after: int) -> Call[DifferenceOut]:
    return Call("GET", f"/db/executions/{before}/diff", DifferenceOut, query={"with": after})


def _compare(
    notebook_id: int,
    executions: Sequence[int] | None,
    batch: int | None,
    status: Status | Sequence[Status] | None,
    where: Texts,
    sort: Texts,
    columns: Sequence[str],
    limit: int,
) -> Call[bytes]:
    query: dict[str, Any] = {
        "executions": None if executions is None else ",".join(str(each) for each in executions),
        "batch": batch,
        "status": [status] if isinstance(status, str) else list(status or ()),
        "where": [where] if isinstance(where, str) and where else list(where),
        "sort": [sort] if isinstance(sort, str) and sort else list(sort),
        "columns": ",".join(_column(each) for each in columns) or None,
        "limit": limit,
    }
    kept = {name: value for name, value in query.items() if value != []}
    wanted = (_ARROW, "application/json") if find_spec("pyarrow") is not None else ("application/json",)
    return Call("GET", f"/db/notebooks/{notebook_id}/compare", bytes, query=kept, headers={"Accept": ", ".join(wanted)})


def _column(name: str) -> str:
    """A column as a query names it: its name in quotes, unless it is plain or stands in them."""
    group, dot, inner = name.partition(".")
    if not dot or _PLAIN.fullmatch(inner) or _QUOTED.fullmatch(inner):
        return name
    escaped = inner.replace("\\", "\\\\").replace('"', '\\"')
    return f'{group}."{escaped}"'


def _frame(answer: bytes, columns: Sequence[str]) -> "DataFrame":
    """The table of a comparison that was asked for with these columns. Raises :class:`NotInstalled`."""
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise NotInstalled("A data frame", "pandas", "data") from error
    if answer.startswith(b"["):
        return cast("DataFrame", _of_json(pandas, json.loads(answer), columns))
    stream: Any = import_module("pyarrow.ipc").open_stream(io.BytesIO(answer))
    return cast("DataFrame", stream.read_all().to_pandas())


def _of_json(pandas: Any, rows: list[dict[str, Any]], columns: Sequence[str]) -> Any:
    """The data frame of rows of JSON as Arrow has it: without links, numbers and times as such."""
    if not rows:
        return pandas.DataFrame(columns=["id", *(columns or ("status", "started_at", "seconds"))])
    names = dict.fromkeys(name for row in rows for name in row)
    found: dict[str, Any] = {}
    for name in names:
        cells = [row.get(name) for row in rows]
        values = [None if isinstance(cell, dict) else cell for cell in cells]
        if name == "started_at":
            found[name] = pandas.to_datetime(values, utc=True, format="ISO8601")
        elif columns or values == cells or any(value is not None for value in values):
            found[name] = _numbers(values)
    return pandas.DataFrame(found)


def _numbers(values: list[Any]) -> list[Any]:
    """A column with the numbers that JSON does not have, where it is one of numbers."""
    known = [value for value in values if value is not None and value not in _NOT_FINITE]
    if not known or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return values
    return [float(value) if isinstance(value, str) else value for value in values]


class Results:
    """The methods of the synchronous client."""

    url: str
    _http: httpx.Client

    def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    def results(self, execution_id: int) -> list[ResultOut]:
        """What an execution recorded, by name."""
        return self._call(_results(execution_id))

    def result(
        self, execution_id: int, name: str, form: Literal["json", "csv", "parquet", "arrow"] | None = None
    ) -> bytes:
        """One result as it is: JSON of a value, an image, a table in a form."""
        return self._call(_result(execution_id, name, form))

    def artifacts(self, execution_id: int) -> list[ArtifactOut]:
        """The files that an execution left in its artifact directory."""
        return self._call(_artifacts(execution_id))

    def download_artifact(self, execution_id: int, path: str, to: str | Path | None = None) -> Path:
        """Write one of those files to ``to``, else under its own name into the working directory; where it is now."""
        target = Path(to) if to is not None else Path(Path(path).name)
        try:
            with self._http.stream("GET", _artifact(execution_id, path)) as response:
                if not response.is_success:
                    response.read()
                    raise_for_problem(response)
                with target.open("wb") as file:
                    for piece in response.iter_bytes():
                        file.write(piece)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return target

    def diff(self, before: int, after: int) -> DifferenceOut:
        """What differs between two executions: parameters, results, code cells."""
        return self._call(_diff(before, after))

    def compare(
        self,
        notebook_id: int,
        *,
        executions: Sequence[int] | None = None,
        batch: int | None = None,
        status: Status | Sequence[Status] | None = None,
        where: Texts = (),
        sort: Texts = (),
        columns: Sequence[str] = (),
        limit: int = MOST_ROWS,
    ) -> "DataFrame":
        """A notebook's executions as a data frame, a row each: ``id``, ``status``, ``started_at``, ``seconds``,
        ``parameters.NAME`` and ``results.NAME``; sorted and filtered by the service, as
        ``where="results.rmse < 0.2", sort="-parameters.alpha"``. ``columns`` are named as the frame has them. Raises
        :class:`NotInstalled` without pandas."""
        asked = (executions, batch, status, where, sort, columns, limit)
        return _frame(self._call(_compare(notebook_id, *asked)), columns)


class AsyncResults:
    """The methods of the asynchronous client."""

    url: str
    _http: httpx.AsyncClient

    async def _call(self, call: Call[T]) -> T:
        raise NotImplementedError

    async def results(self, execution_id: int) -> list[ResultOut]:
        """What an execution recorded, by name."""
        return await self._call(_results(execution_id))

    async def result(
        self, execution_id: int, name: str, form: Literal["json", "csv", "parquet", "arrow"] | None = None
    ) -> bytes:
        """One result as it is: JSON of a value, an image, a table in a form."""
        return await self._call(_result(execution_id, name, form))

    async def artifacts(self, execution_id: int) -> list[ArtifactOut]:
        """The files that an execution left in its artifact directory."""
        return await self._call(_artifacts(execution_id))

    async def download_artifact(self, execution_id: int, path: str, to: str | Path | None = None) -> Path:
        """Write one of those files to ``to``, else under its own name into the working directory; where it is now."""
        target = Path(to) if to is not None else Path(Path(path).name)
        try:
            async with self._http.stream("GET", _artifact(execution_id, path)) as response:
                if not response.is_success:
                    await response.aread()
                    raise_for_problem(response)
                with target.open("wb") as file:
                    async for piece in response.aiter_bytes():
                        file.write(piece)
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error
        return target

    async def diff(self, before: int, after: int) -> DifferenceOut:
        """What differs between two executions: parameters, results, code cells."""
        return await self._call(_diff(before, after))

    async def compare(
        self,
        notebook_id: int,
        *,
        executions: Sequence[int] | None = None,
        batch: int | None = None,
        status: Status | Sequence[Status] | None = None,
        where: Texts = (),
        sort: Texts = (),
        columns: Sequence[str] = (),
        limit: int = MOST_ROWS,
    ) -> "DataFrame":
        """A notebook's executions as a data frame, a row each: ``id``, ``status``, ``started_at``, ``seconds``,
        ``parameters.NAME`` and ``results.NAME``; sorted and filtered by the service, as
        ``where="results.rmse < 0.2", sort="-parameters.alpha"``. ``columns`` are named as the frame has them. Raises
        :class:`NotInstalled` without pandas."""
        asked = (executions, batch, status, where, sort, columns, limit)
        return _frame(await self._call(_compare(notebook_id, *asked)), columns)
