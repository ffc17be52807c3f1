"""The history, with every filter of the API in the address."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from pressroom.api import Reader, TheParts
from pressroom.errors import Invalid
from pressroom.executions.history import History
from pressroom.executions.history_query import PARAM, Order, moment, parameters_of
from pressroom.executions.states import Status
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.notebooks import finding
from pressroom.web.listing import Listed, listed
from pressroom.web.moments import with_zone
from pressroom.web.rendering import page
from pressroom.web.routes import PageRoute
from pressroom.wire import checked, id_in

ON_A_PAGE = 50
LONGEST = 255
TIMES = ("submitted_after", "submitted_before")
STATUS = "status"
"""The only filter that may be said several times."""
ADDED = ("parameter", "value")
"""The fields that add the condition ``param.NAME=VALUE``."""
router = APIRouter(route_class=PageRoute, include_in_schema=False)


@dataclass(slots=True)
class Filters:
    """What an address asks for, as texts, and what is wrong with it, by field."""

    texts: dict[str, str]
    statuses: list[str]
    parameters: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    errors: dict[str, str] = field(default_factory=dict[str, str])

    def get(self, name: str) -> str:
        """The text of a field, empty where nothing is said."""
        return self.texts.get(name, "")

    @property
    def any(self) -> bool:
        """Whether anything is left out of the list."""
        said = {name for name, text in self.texts.items() if text} - {"after", "order"}
        return bool(said or self.statuses or self.parameters)

    @property
    def more(self) -> bool:
        """Whether a field that is folded away says anything that is seen nowhere else: the notebook is in the title."""
        return bool({name for name, text in self.texts.items() if text} - {"after", "notebook_id"})


@router.get("/executions")
async def show_executions(request: Request, parts: TheParts, caller: Reader) -> Response:
    """The history: all of it, or what meets every condition of the address."""
    given = request.query_params.multi_items()
    plain = _plain(given)
    if plain != given:
        root = request.scope.get("root_path", "")
        return RedirectResponse(f"{root}/executions" + (f"?{urlencode(plain)}" if plain else ""), 303)
    filters = Filters(
        {name: value for name, value in plain if name != "status" and not name.startswith(PARAM)},
        [value for name, value in plain if name == "status" for value in value.split(",")],
        [(name.removeprefix(PARAM), value) for name, value in plain if name.startswith(PARAM)],
    )
    history = _history(filters, plain, caller)
    found = Listed([], 0, None, more=False)
    name = None
    if history is not None:
        async with parts.database.snapshot() as session:
            if history.notebook_id is not None:
                names = await finding.names(session, history.seen_by, [history.notebook_id])
                name = names.get(history.notebook_id)
            found = await listed(session, history, ON_A_PAGE)
    rest = [(key, value) for key, value in plain if key != "after"]
    return page(
        request,
        "executions.html",
        status=422 if filters.errors else 200,
        found=found,
        filters=filters,
        statuses=list(Status),
        orders=list(Order),
        notebook_name=name,
        older=urlencode([*rest, ("after", str(found.last))]) if found.more else None,
        first=urlencode(rest),
        without={name: urlencode([pair for pair in rest if pair[0] != PARAM + name]) for name, _ in filters.parameters},
    )


def _plain(given: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The conditions alone: without empty fields, and with the one that was added by name as the others are."""
    added = {name: value for name, value in given if name in ADDED}
    # An empty field says nothing; but a parameter may be the empty text.
    plain = [pair for pair in given if pair[0] not in ADDED and (pair[1] or pair[0].startswith(PARAM))]
    if added.get("parameter"):
        name = PARAM + added["parameter"].strip()
        plain = [pair for pair in plain if pair[0] != name] + [(name, added.get("value", ""))]
    times = [(name, with_zone(value) if name in TIMES else value) for name, value in plain]
    return [pair for pair in times if pair[0] != "notice"]


def _history(filters: Filters, plain: list[tuple[str, str]], caller: Principal) -> History | None:
    """The conditions; ``None`` where one of them is wrong, which then stands in ``filters.errors``."""
    said: dict[str, Any] = {}
    for name, read in _READERS.items():
        try:
            if text := filters.get(name):
                said[name] = read(text)
        except ValueError as error:
            filters.errors[name] = str(error)
    _check_names(filters, [name for name, _ in plain])
    if unknown := [text for text in filters.statuses if text not in set(Status)]:
        filters.errors["status"] = f"must be some of {', '.join(Status)}, not {unknown[0][:50]}"
    try:
        said["parameters"] = parameters_of(pair for pair in plain if pair[0].startswith(PARAM))
    except Invalid as error:
        filters.errors["parameter"] = error.detail
    if filters.errors:
        return None
    oldest = said.pop("order", Order.NEWEST) == Order.OLDEST
    return History(statuses=tuple(sorted(set(filters.statuses))), oldest=oldest, seen_by=viewer(caller), **said)


def _check_names(filters: Filters, names: list[str]) -> None:
    """Say which filters there are not, and which are said twice: of those, all but one would be lost."""
    for name in dict.fromkeys(names):
        if name != STATUS and not name.startswith(PARAM) and name not in _READERS:
            filters.errors["address"] = f"There is no filter {name[:50]!r}."
        elif name != STATUS and names.count(name) > 1:
            filters.errors.setdefault("address", f"The filter {name[:50]!r} is said more than once.")


def _id(text: str) -> int:
    if (found := id_in(text)) is None:
        raise ValueError("must be the number of one, 1 or more")
    return found


def _name(text: str) -> str:
    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    return checked(text)


def _order(text: str) -> Order:
    if text not in set(Order):
        raise ValueError(f"must be one of {', '.join(Order)}")
    return Order(text)


_READERS: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("notebook_id", "batch_id", "schedule_id", "after"), _id),
    **dict.fromkeys(TIMES, moment),
    **dict.fromkeys(("username", "queue"), _name),
    "order": _order,
}
"""What each field says, by its name."""
