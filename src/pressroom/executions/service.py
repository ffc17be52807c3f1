"""Executions: what is asked is checked and becomes a row."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from sqlalchemy import func, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.database.models import Execution
from pressroom.database.session import violated
from pressroom.errors import (
    AlreadyExists,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionInterrupted,
    ExecutionTimedOut,
    Invalid,
    NotFound,
)
from pressroom.executions.schemas import Status
from pressroom.identity.policy import require_acting_for
from pressroom.identity.principal import Principal
from pressroom.notebooks import files
from pressroom.notebooks import service as notebooks
from pressroom.notebooks.places import Location, Places
from pressroom.parameters import service as parameters
from pressroom.parameters.values import check_unregistered, guessed
from pressroom.settings import MEBIBYTE, Settings

OUTPUT_FOLDER = "executions"


@dataclass(frozen=True, slots=True)
class Order:
    """What a caller asked to be executed.

    ``lenient``: the values are texts from a command line or a form. ``username`` is ``None`` where the caller named
    nobody.
    """

    input_path: str
    parameters: Mapping[str, JsonValue]
    username: str | None = None
    output_path: str | None = None
    in_place: bool = False
    kernel_name: str | None = None
    timeout_seconds: float | None = None
    lenient: bool = False


async def submit(
    session: AsyncSession, places: Places, settings: Settings, principal: Principal, order: Order, service_id: int
) -> Execution:
    """Check an order and add its row, ``pending``.

    Raises :class:`NotAllowed`, :class:`PathNotAllowed`, :class:`NotFound`, :class:`NotebookInvalid`,
    :class:`ParameterInvalid`, or :class:`AlreadyExists` where another execution under way writes to the same file.
    Nothing is added then.
    """
    username = await _acting_user(session, places, principal, order)
    require_acting_for(principal, username)
    place = await asyncio.to_thread(places.locate, order.input_path, username)
    limit = int(settings.max_notebook_mb * MEBIBYTE)
    await asyncio.to_thread(files.read, place, limit)
    notebook = await notebooks.at_path(session, str(place.path))
    if notebook is not None:
        used = await parameters.resolved(session, notebook.id, order.parameters, lenient=order.lenient)
    else:
        given = order.parameters.items()
        used = {name: guessed(v) if order.lenient and isinstance(v, str) else v for name, v in given}
        check_unregistered(used)
    execution = Execution(
        notebook_id=notebook.id if notebook else None,
        username=username,
        input_path=str(place.path),
        output_path=await asyncio.to_thread(_chosen_output, places, place, username, order),
        parameters_used=used,
        status=Status.PENDING,
        kernel_name=order.kernel_name,
        timeout_seconds=order.timeout_seconds or settings.timeout_seconds,
        service_id=service_id,
    )
    session.add(execution)
    try:
        await session.flush()
        if execution.output_path is None:
            execution.output_path = _output_beside(place, execution.id, execution.started_at)
            await session.flush()
    except IntegrityError as error:
        if violated(error) == "uq_notebook_executions_output_path_under_way":
            raise AlreadyExists(
                "execution",
                "output_path",
                execution.output_path,
                f"Another execution that is under way writes to {execution.output_path}.",
            ) from error
        raise
    return execution


async def _acting_user(session: AsyncSession, places: Places, principal: Principal, order: Order) -> str:
    if order.username is not None:
        return order.username
    if not Path(order.input_path).is_absolute():
        return principal.username
    holder = await asyncio.to_thread(places.owner_of, order.input_path)
    registered = await notebooks.at_path(session, await asyncio.to_thread(os.path.realpath, order.input_path))
    return registered.username if registered is not None else holder or principal.username


def _chosen_output(places: Places, place: Location, username: str, order: Order) -> str | None:
    """The output's path as far as the caller chose it, checked; its folder must be there."""
    if order.in_place:
        return str(place.path)
    if order.output_path is None:
        return None
    output = places.locate(order.output_path, username)
    if output.path == place.path:
        raise Invalid("output_path is the input itself; leave it out, or send in_place to /execute.")
    with output.parent.open_directory():
        return str(output.path)


def _output_beside(place: Location, execution_id: int, at: datetime) -> str:
    name = f"{place.path.stem}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{execution_id}.ipynb"
    path = str(place.beside(OUTPUT_FOLDER, name).path)
    if len(path) > 512:
        raise Invalid("The path of the output would be longer than 512 characters.")
    return path


async def get(session: AsyncSession, execution_id: int) -> Execution:
    """One execution. Raises :class:`NotFound`."""
    execution = await session.get(Execution, execution_id)
    if execution is None:
        raise NotFound("execution", execution_id)
    return execution


async def start(session: AsyncSession, execution_id: int) -> bool:
    """``pending`` → ``running``; false where it is not pending any more."""
    return await _move(session, execution_id, Status.PENDING, status=Status.RUNNING, started_at=func.clock_timestamp())


async def progress(session: AsyncSession, execution_id: int, total: int | None, completed: int) -> None:
    """Record how many code cells there are and how many are done."""
    await _move(session, execution_id, Status.RUNNING, cells_total=total, cells_completed=completed)


async def finish(session: AsyncSession, execution_id: int, status: Status, seconds: float, **facts: Any) -> bool:
    """``running`` or ``pending`` → a terminal status; false where it has one already."""
    ended = {"status": status, "execution_time_seconds": round(seconds), "completed_at": func.clock_timestamp()}
    return await _move(session, execution_id, Status.RUNNING, Status.PENDING, **ended, **facts)


async def _move(session: AsyncSession, execution_id: int, *before: Status, **values: Any) -> bool:
    fenced = update(Execution).where(Execution.id == execution_id, Execution.status.in_(before))
    result = await session.execute(fenced.values(**values).returning(Execution.id))
    return result.scalar() is not None


def raise_for_status(execution: Execution) -> None:
    """Raise the error of an execution that ended without success; nothing for one that succeeded."""
    if execution.status == Status.SUCCESS:
        return
    failure = execution.failure or {}
    facts = {"execution_id": execution.id, "output_path": execution.output_path, **failure}
    sentence = execution.error_message or "The execution did not succeed."
    reason = failure.get("reason")
    if execution.status == Status.CANCELLED:
        raise ExecutionCancelled(sentence, **facts)
    if reason == "timed_out":
        raise ExecutionTimedOut(sentence, **facts)
    if reason == "interrupted":
        raise ExecutionInterrupted(sentence, **facts)
    raise ExecutionFailed(sentence, **({"cell_index": None, "ename": None, "evalue": None} | facts))
