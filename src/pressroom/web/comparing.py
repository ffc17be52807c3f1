"""Executions beside each other: the table of a notebook, what can be drawn of it, and the difference of two."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from pressroom.api import Id, TheParts, Viewer
from pressroom.errors import Invalid, TooLarge
from pressroom.executions import access, comparison, conditions, differences
from pressroom.executions.comparison import Compared, Comparison
from pressroom.executions.conditions import PARAMETERS, RESULTS
from pressroom.executions.lane import in_turn
from pressroom.executions.states import Status
from pressroom.identity.policy import Viewer as Whose
from pressroom.identity.policy import viewer
from pressroom.identity.rights import Level
from pressroom.notebooks import finding, levels
from pressroom.settings import MEBIBYTE
from pressroom.web.listing import skipped
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute, see_other
from pressroom.wire import id_in

ON_A_PAGE = 200
MOST_CHOSEN = 500
MOST_COLUMNS = 60
"""How many parameters and results a page shows, those that differ first."""
MOST_ROWS_OF_CSV = 50_000
"""How many executions the API answers at once."""
KEPT = ("executions", "batch", "status", "where", "sort", "all")
"""What an address says, in the order in which it is written."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table. ``field``: how a sort or a condition names it. ``differs``: not all its values are the
    same; ``sort`` is the address that sorts by it, and ``order`` how it is sorted now."""

    name: str
    group: str
    field: str
    differs: bool
    number: bool
    values: list[Any]
    sort: str = ""
    order: str = ""


@router.get("/notebooks/{notebook_id}/compare")
async def show_comparison(notebook_id: Id, request: Request, parts: TheParts, caller: Viewer) -> Response:
    """A notebook's executions as one table: those that are chosen (``executions``), of a ``batch``, or all of them."""
    asked, errors = _asked(request)
    skip, found = skipped(request), Compared({"id": []})
    async with parts.database.snapshot() as session:
        notebook = await levels.require(session, caller, notebook_id, Level.VIEWER)
        if not errors:
            try:
                wanted = _comparison(notebook_id, asked, viewer(caller))
                found = await comparison.compare(session, wanted, skip, ON_A_PAGE, linked=True)
            except (Invalid, TooLarge) as error:
                errors["sort" if error.detail.startswith("sort") else "where"] = error.detail
    columns = _columns(found, asked)
    differing = [column for column in columns if column.differs]
    shown = columns if asked.get("all") or not differing else differing
    return page(
        request,
        "compare.html",
        status=422 if errors else 200,
        notebook=notebook,
        asked=asked,
        chosen=set(asked.get("executions", "").split(",")),
        errors=errors,
        rows=_rows(found),
        links=found.links,
        total=found.total,
        skip=skip,
        on_a_page=ON_A_PAGE,
        columns=shown[:MOST_COLUMNS],
        alike=len(columns) - len(shown),
        cut=max(0, len(shown) - MOST_COLUMNS),
        most_rows=MOST_ROWS_OF_CSV,
        same=len(columns) - len(differing),
        plain={name: _sorted(asked, name) for name in ("id", "status", "started_at", "seconds")},
        kept={name: text for name, text in asked.items() if name != "all"},
        statuses=list(Status),
        source=_source(asked),
    )


@router.get("/compare")
async def choose_a_comparison(request: Request, parts: TheParts, caller: Viewer) -> Response:
    """To the table of the notebook that the chosen executions are of."""
    ids = _ids(request.query_params.getlist("executions"))
    if not ids:
        raise Invalid("Tick the executions that are to be compared; none was chosen.")
    async with parts.database.transaction() as session:
        chosen = [await access.seen(session, caller, each) for each in ids]
    notebooks = {each.notebook_id for each in chosen}
    if len(notebooks) != 1 or None in notebooks:
        raise Invalid("Executions of one registered notebook can be compared; filter the list by its id first.")
    return see_other(request, f"/notebooks/{notebooks.pop()}/compare", executions=",".join(map(str, ids)))


@router.get("/difference")
async def show_difference(request: Request, parts: TheParts, caller: Viewer) -> Response:
    """What differs between two executions: parameters, results, and the code cells of what they left."""
    given = request.query_params.getlist("executions")
    ids = _ids(given)
    if len(given) == 2:  # two that were ticked, in the order of a list; a link says which one comes first
        ids.sort()
    if len(ids) != 2:
        raise Invalid(f"Choose two executions to see what differs between them; {len(ids)} were chosen.")
    async with parts.database.transaction() as session:
        pair = [await access.seen(session, caller, each) for each in ids]
        recorded = [await differences.recorded(session, each) for each in pair]
        notebooks = {each.notebook_id for each in pair if each.notebook_id is not None}
        names = await finding.names(session, viewer(caller), notebooks)
    limit = int((parts.settings.max_notebook_mb + 2 * parts.settings.max_output_mb) * MEBIBYTE)
    found = await in_turn(lambda: differences.difference(parts.places, pair, recorded, limit))
    told: dict[str, Any] = found.model_dump(mode="json")
    cells: list[dict[str, Any]] = told["cells"] or []
    return page(
        request,
        "difference.html",
        told=told,
        cells=[_lines(cell) for cell in cells],
        titles=[names.get(each.notebook_id or 0, each.input_path) for each in pair],
        notebook_id=pair[0].notebook_id if pair[0].notebook_id == pair[1].notebook_id else None,
    )


def _source(asked: dict[str, str]) -> str:
    """The query that the API answers the same to, which is asked for a batch or for executions."""
    left_out = {"all", "batch"} if "executions" in asked else {"all"}
    return urlencode({name: text for name, text in asked.items() if name not in left_out})


def _ids(texts: Sequence[str]) -> list[int]:
    """The ids of a list, parted at their commas, each once. Raises :class:`Invalid`."""
    found: list[int] = []
    for text in (part.strip() for given in texts for part in given.split(",") if part.strip()):
        if (execution_id := id_in(text)) is None:
            raise Invalid(f"executions: {text[:20]!r} is not the number of an execution.")
        found.append(execution_id)
    if len(found) > MOST_CHOSEN:
        raise Invalid(f"executions: at most {MOST_CHOSEN} can be chosen, not {len(found)}.")
    return list(dict.fromkeys(found)) if len(found) != 2 else found


def _asked(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """What the address asks for, as texts, and what is wrong with it, by field."""
    query, errors = request.query_params, dict[str, str]()
    asked = {name: ",".join(text for text in query.getlist(name) if text) for name in KEPT}
    try:
        asked["executions"] = ",".join(map(str, _ids(query.getlist("executions"))))
    except Invalid as error:
        errors["executions"] = error.detail
    if asked["batch"] and id_in(asked["batch"]) is None:
        errors["batch"] = "must be the number of a batch"
    if asked["status"] and not set(asked["status"].split(",")) <= set(Status):
        errors["status"] = f"must be some of {', '.join(Status)}"
    return {name: text for name, text in asked.items() if text}, errors


def _comparison(notebook_id: int, asked: dict[str, str], seen_by: Whose | None) -> Comparison:
    """What the address asks for. Raises :class:`Invalid`."""
    ids = tuple(map(int, asked["executions"].split(","))) if "executions" in asked else ()
    return Comparison(
        notebook_id,
        executions=ids,
        batch=int(asked["batch"]) if "batch" in asked and not ids else None,
        statuses=tuple(Status(text) for text in asked["status"].split(",")) if "status" in asked else (),
        where=conditions.conditions([asked["where"]] if "where" in asked else ()),
        sort=conditions.keys([asked["sort"]] if "sort" in asked else ()),
        seen_by=seen_by,
    )


def _columns(found: Compared, asked: dict[str, str]) -> list[Column]:
    """The parameters and the results, with what tells how they differ."""
    columns: list[Column] = []
    linked = sorted({name for row in found.links for name in row})
    for group in (PARAMETERS, RESULTS):
        for wide, values in found.columns.items():
            if wide.startswith(f"{group}."):
                differs = len(set(map(_spelt, values))) > 1
                columns.append(_column(group, wide.removeprefix(f"{group}."), values, asked, differs=differs))
    recorded = {column.name for column in columns if column.group == RESULTS}
    rows = [None] * found.length
    columns += [_column(RESULTS, name, list(rows), asked, differs=True) for name in linked if name not in recorded]
    return columns


def _column(group: str, name: str, values: list[Any], asked: dict[str, str], *, differs: bool) -> Column:
    field = f"{group}.{_quoted(name)}"
    known = [value for value in values if value is not None]
    number = bool(known) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    sort, order = _sorted(asked, field)
    return Column(name, group, field, differs, number, values, sort, order)


def _sorted(asked: dict[str, str], field: str) -> tuple[str, str]:
    """The address that sorts by a field, upwards first; and how it is sorted by it now."""
    now = asked.get("sort", "")
    order = "ascending" if now == field else "descending" if now == f"-{field}" else ""
    return urlencode({**asked, "sort": f"-{field}" if order == "ascending" else field}), order


def _quoted(name: str) -> str:
    plain = name and not any(character in name for character in " ,\"'<>=!\t\n\\")
    return name if plain else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _spelt(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _rows(found: Compared) -> list[dict[str, Any]]:
    plain = ("id", "status", "started_at", "seconds")
    columns = [found.columns.get(name, []) for name in plain]
    return [dict(zip(plain, values, strict=True)) for values in zip(*columns, strict=True)]


def _lines(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell's difference in lines, each with what became of it."""
    kinds = {"+": "added", "-": "removed", "@": "place"}
    return cell | {"lines": [(kinds.get(line[:1], "same"), line) for line in cell["diff"].splitlines()]}
