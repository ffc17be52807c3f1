# pandas and pyarrow ship few types: what comes from them is unknown to the checker.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""What the clients do with what executions recorded: each call once, and the methods of both that send it."""

import io
import json
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
        "columns": list(columns),
        "limit": limit,
    }
    kept = {name: value for name, value in query.items() if value != []}
    headers = {"Accept": _ARROW if find_spec("pyarrow") is not None else "application/json"}
    return Call("GET", f"/db/notebooks/{notebook_id}/compare", bytes, query=kept, headers=headers)


def _frame(answer: bytes) -> "DataFrame":
    """The table of a comparison. Raises :class:`NotInstalled`."""
    try:
        pandas: Any = import_module("pandas")
    except ImportError as error:
        raise NotInstalled("A data frame", "pandas", "data") from error
    if answer.startswith(b"["):
        return cast("DataFrame", pandas.DataFrame(json.loads(answer)))
    stream: Any = import_module("pyarrow.ipc").open_stream(io.BytesIO(answer))
    return cast("DataFrame", stream.read_all().to_pandas())


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
        ``where="results.rmse < 0.2", sort="-parameters.alpha"``. Raises :class:`NotInstalled` without pandas."""
        asked = (executions, batch, status, where, sort, columns, limit)
        return _frame(self._call(_compare(notebook_id, *asked)))


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
        ``where="results.rmse < 0.2", sort="-parameters.alpha"``. Raises :class:`NotInstalled` without pandas."""
        asked = (executions, batch, status, where, sort, columns, limit)
        return _frame(await self._call(_compare(notebook_id, *asked)))
