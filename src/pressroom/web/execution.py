"""An execution: how far it is and what it puts out, and in the end what it left."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import APIRouter, Request, Response
from nbconvert.filters import strip_ansi  # pyright: ignore[reportUnknownVariableType]
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom import logs
from pressroom.api import Canceller, Id, Parts, Runner, TheParts, Viewer
from pressroom.database.models import Execution
from pressroom.errors import AlreadyEnded, NotAllowed, PressroomError, TooLarge
from pressroom.executions import access, results, service
from pressroom.executions.event_schemas import Log
from pressroom.executions.lane import in_turn
from pressroom.executions.last_events import CELLS, OUTPUT, kernel_of, last_events
from pressroom.executions.schemas import AttemptOut, ExecutionOut
from pressroom.executions.states import TERMINAL, Status
from pressroom.identity.audit import facts
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal, Scope
from pressroom.identity.rights import Level
from pressroom.notebooks import finding, outputs
from pressroom.notebooks.failing_cell import FailingCell, failing_cell
from pressroom.settings import JUPYTERHUB, MEBIBYTE
from pressroom.web.listing import in_order, seconds_of
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, changing, see_other

MOST_EVENTS = 4_000
"""How many events of a kind a page is made from, the last ones; a script that follows it hears of those that come."""
MOST_TEXT = 40_000
"""How many characters of output stand in a page, the last ones."""
MOST_SOURCE = 10_000
MOST_LANGUAGE = 100
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Cell:
    """A cell of the current attempt: ``running``, ``done`` or ``failed``."""

    number: int
    line: str
    state: str = "running"
    seconds: float | None = None
    at: str = ""


@dataclass(slots=True)
class Course:
    """How far an execution is, as its events tell it."""

    cells: dict[int, Cell] = field(default_factory=dict[int, Cell])
    text: str = ""
    last: int = 0
    """The id of the last event in it, which is followed from there on."""

    @property
    def running(self) -> Cell | None:
        """The cell that runs."""
        return next((cell for cell in reversed(self.cells.values()) if cell.state == "running"), None)


@router.get("/executions/{execution_id}")
async def show_an_execution(execution_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """One execution, while it goes on and afterwards. ``code=hide`` shows its notebook without the code, and
    ``cells=show`` what each cell took; ``ask=cancel`` asks whether it is to be cancelled."""
    async with parts.database.transaction() as session:
        row = await access.seen(session, caller, execution_id)
        shown: dict[str, Any] = ExecutionOut.model_validate(row).model_dump(mode="json")
        may_cancel = await _may(session, caller, row, Level.EDITOR)
        may_execute = await _may(session, caller, row, Level.RUNNER)
        names = await finding.names(session, viewer(caller), [row.notebook_id] if row.notebook_id else [])
        usual = await service.usual_seconds(session, row)
        root = request.scope.get("root_path", "")
        recorded = await results.results(session, row, root)
        files = await results.files(session, row, root)
        tries = [AttemptOut.model_validate(one) for one in await service.attempts(session, caller, execution_id)]
        kernel = await kernel_of(session, row.id, row.attempt)
    ended = Status(row.status) in TERMINAL
    cells = not ended or "cells" in request.query_params
    course = await _course(parts, row, output=not ended) if cells else Course()
    cell, why = await _failing_cell(parts, row)
    language, no_output = await _output(parts, row) if ended else (None, None)
    return page(
        request,
        "execution.html",
        execution=shown,
        parameters=in_order(shown["parameters_used"]),
        notebook=names.get(row.notebook_id or 0),
        seconds=seconds_of(shown),
        usual=usual,
        ended=ended,
        message=strip_ansi(row.error_message) if row.error_message else None,
        failing=cell,
        traceback=strip_ansi(cell.traceback) if cell else "",
        unreadable=why,
        course=course,
        asked_for_cells="cells" in request.query_params,
        results=[_answered(one) for one in recorded],
        files=[_answered(one) for one in files],
        attempts=[one.model_dump(mode="json") for one in tries],
        language=language,
        no_output=no_output,
        kernel=kernel,
        code="hide" if request.query_params.get("code") == "hide" else "show",
        asking="ask" in request.query_params,
        has_hub=JUPYTERHUB in parts.settings.auth,
        may_cancel=may_cancel,
        may_execute=may_execute,
        may_copy=Scope.WRITE in caller.scopes,
    )


@router.post("/executions/{execution_id}/cancel")
async def cancel_from_a_page(execution_id: Id, request: Request, parts: TheParts, caller: Canceller) -> Response:
    """Cancel an execution, and show it; one that has ended meanwhile is shown as it is."""
    logs.about(execution_id)
    try:
        async with changing(request) as session:
            execution, ended = await service.cancel(session, parts.intake, caller, execution_id)
    except AlreadyEnded:
        return see_other(request, f"/executions/{execution_id}")
    if ended:
        parts.metrics.execution_ended(execution.status, "cancelled", None)
    return see_other(request, f"/executions/{execution_id}", notice="cancelled" if ended else "cancelling")


@router.post("/executions/{execution_id}/again")
async def execute_again_from_a_page(execution_id: Id, request: Request, parts: TheParts, caller: Runner) -> Response:
    """Execute again what an ended execution did, and show the new one."""
    async with changing(request) as session:
        again = await service.retry(session, parts.intake, caller, execution_id)
        logs.about(again.id)
        facts(request.scope)["execution_ids"] = [again.id]
    return see_other(request, f"/executions/{again.id}", notice="again")


def _answered(shown: Any) -> dict[str, Any]:
    """What the API answers of a thing."""
    return shown.model_dump(mode="json")


async def _may(session: AsyncSession, caller: Principal, row: Execution, level: Level) -> bool:
    """Whether the caller may do with an execution what needs ``level``."""
    try:
        await access.require(session, caller, row, level)
    except NotAllowed:
        return False
    return Scope.EXECUTE in caller.scopes


async def _failing_cell(parts: Parts, row: Execution) -> tuple[FailingCell | None, str | None]:
    """The cell that raised, as the output has it; and why the output cannot be read, where that was asked."""
    if row.status != Status.FAILED:
        return None, None
    try:
        return await in_turn(lambda: failing_cell(parts.settings, parts.places, row)), None
    except PressroomError as error:
        return None, error.detail


async def _output(parts: Parts, row: Execution) -> tuple[str | None, str | None]:
    """The language of the kernel that ran an ended execution, with its version, as its output has it; and why there is
    no output to show."""
    try:
        said = await asyncio.to_thread(outputs.metadata, parts.places, row, MEBIBYTE)
    except TooLarge:  # it is not as nbformat writes it
        return None, None
    except PressroomError as error:
        return None, error.detail
    info = said.get("language_info")
    told = [cast("dict[str, Any]", info).get(key) for key in ("name", "version")] if isinstance(info, dict) else []
    return " ".join(each for each in told if isinstance(each, str))[:MOST_LANGUAGE] or None, None


async def _course(parts: Parts, row: Execution, *, output: bool) -> Course:
    """What happened so far in the current attempt; its text where that is asked for."""
    async with parts.database.snapshot() as session:
        cells = await last_events(session, row.id, row.attempt, CELLS, MOST_EVENTS)
        texts = await last_events(session, row.id, row.attempt, OUTPUT, MOST_EVENTS) if output else ()
    course, log = Course(last=max((each.id for each in (*cells, *texts)), default=0)), Log(row.attempt)
    for each in cells:
        number = each.data.get("number")
        if not isinstance(number, int):
            continue
        if each.kind == "cell_started":
            course.cells[number] = Cell(number, str(each.data.get("line", "")), at=each.at.isoformat())
        else:
            cell = course.cells.setdefault(number, Cell(number, str(each.data.get("line", ""))))
            cell.state = "failed" if each.data.get("failed") else "done"
            cell.seconds = each.data.get("seconds")
    whole = "".join(log.text(each.kind, each.attempt, each.data) for each in texts)
    course.text = strip_ansi(whole[-MOST_TEXT:])
    return course
