"""Which of many orders are refused, and which field of each: one error that names them all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pressroom.errors import PROBLEM_BASE, ParameterInvalid, PressroomError

_SENTENCES = 10
Place = tuple[str | int, ...]


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is raised inside is about this field of the request, unless it says another one itself."""
    try:
        yield
    except PressroomError as error:
        error.where = error.where or (field,)
        raise


def refusal(errors: Mapping[Place, PressroomError]) -> PressroomError:
    """The error of a request whose orders at these places in its body were refused: that of the first, which names
    them all in ``errors``, as ``{loc, msg, type, status}``. An order that stands alone, at no place, keeps its own."""
    first = next(iter(errors.values()))
    if () in errors:
        return first
    entries = [entry for place, error in errors.items() for entry in _entries(place, error)]
    told = [f"{_path((*place, *error.where))}: {_sentence(error)}" for place, error in errors.items()]
    more = [f"And {len(told) - _SENTENCES} more."] if len(told) > _SENTENCES else []
    named = first.from_problem(first.problem())  # the same one may stand for several orders
    named.detail = " ".join([*told[:_SENTENCES], *more])
    named.args = (named.detail,)
    named.facts["errors"] = entries
    return named


def _sentence(error: PressroomError) -> str:
    """What an error says of its field, whose name may stand before it already."""
    return error.detail.removeprefix(f"{error.where[-1]}: ") if error.where else error.detail


def _entries(place: Place, error: PressroomError) -> Iterator[dict[str, Any]]:
    head = {"type": PROBLEM_BASE + error.slug, "status": error.status}
    loc = ["body", *place, *error.where]
    if isinstance(error, ParameterInvalid):
        each = error.errors or [{"parameter": error.parameter, "rule": error.rule, "detail": error.detail}]
        for one in each:
            yield {"loc": [*loc, one["parameter"]], "msg": one["detail"], "rule": one["rule"]} | head
        return
    yield {"loc": loc, "msg": error.detail} | head


def _path(place: Place) -> str:
    """As people write it: ``executions[3].parameters``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
