"""Executions as lists of pages show them."""

import json
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.executions import history as histories
from pressroom.executions.history import History
from pressroom.notebooks import finding
from pressroom.web.rendering import moment_of


@dataclass(frozen=True, slots=True)
class Listed:
    """Some executions, as the API answers them, each with ``notebook``, its name where that may be seen, and
    ``seconds``. ``total`` is ``None`` where it is not known; ``last`` is the id of the last one."""

    rows: list[dict[str, Any]]
    total: int | None
    last: int | None
    more: bool


async def listed(session: AsyncSession, history: History, limit: int) -> Listed:
    """A page of a history. Nothing else is to be asked in its transaction, whose plans it changes."""
    found = await histories.page(session, history, 0, limit)
    rows: list[dict[str, Any]] = json.loads(found.body)
    ids = {row["notebook_id"] for row in rows if row["notebook_id"] is not None}
    names = await finding.names(session, history.seen_by, ids)
    for row in rows:
        row["notebook"] = names.get(row["notebook_id"])
        row["seconds"] = seconds_of(row)
    return Listed(rows, found.total, found.last, found.more)


def seconds_of(row: dict[str, Any]) -> float | None:
    """How long the last attempt of an execution took; ``None`` while it is under way, and where there was none."""
    if row["completed_at"] is None or not row["attempt"]:
        return None
    return (moment_of(row["completed_at"]) - moment_of(row["started_at"])).total_seconds()


def skipped(request: Request) -> int:
    """How many of a list the address leaves out from its start; none where it says nonsense."""
    given = request.query_params.get("skip", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
