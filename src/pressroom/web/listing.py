"""Executions as lists of pages show them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.executions import history as histories
from pressroom.executions.history import History
from pressroom.notebooks import finding
from pressroom.web.rendering import moment_of, value_in_words

IN_A_LINE = 4
"""How many parameters a row of a list names."""
SHORT = 24
"""How many characters of a value it shows."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Some executions, as the API answers them, each with ``notebook``, its name where that may be seen, ``seconds``,
    and ``line``, its first parameters in short, of which there are ``line_more``. ``total`` is ``None`` where it is
    not known; ``last`` is the id of the last one."""

    rows: list[dict[str, Any]]
    total: int | None
    last: int | None
    more: bool


async def listed(session: AsyncSession, history: History, limit: int) -> Listed:
    """A page of a history. It changes the plans of its transaction: what else is asked in it comes
    before, or is asked by key."""
    found = await histories.page(session, history, 0, limit)
    rows: list[dict[str, Any]] = json.loads(found.body)
    ids = {row["notebook_id"] for row in rows if row["notebook_id"] is not None}
    names = await finding.names(session, history.seen_by, ids)
    for row in rows:
        row["notebook"] = names.get(row["notebook_id"])
        row["seconds"] = seconds_of(row)
        given = in_order(row["parameters_used"])
        row["line"] = [(name, _short(value_in_words(value))) for name, value in given[:IN_A_LINE]]
        row["line_more"] = len(given) - len(row["line"])
    return Listed(rows, found.total, found.last, found.more)


def in_order(parameters: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Parameters by name. They have no order in the database, which sorts them by how long their names are."""
    return sorted((parameters or {}).items(), key=lambda pair: (pair[0].casefold(), pair[0]))


def _short(text: str) -> str:
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def seconds_of(row: dict[str, Any]) -> float | None:
    """How long the last attempt of an execution took; ``None`` while it is under way, and where there was none."""
    if row["completed_at"] is None or not row["attempt"]:
        return None
    return (moment_of(row["completed_at"]) - moment_of(row["started_at"])).total_seconds()


def skipped(request: Request) -> int:
    """How many of a list the address leaves out from its start; none where it says nonsense."""
    given = request.query_params.get("skip", "0")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 0
