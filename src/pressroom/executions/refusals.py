"""Which fields of a request are wrong, each told in the same form; of many orders, one error that names them all."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel, Field

from pressroom.errors import PROBLEM_BASE, Invalid, ParameterInvalid, PressroomError

_SENTENCES = 10
_MANY = ("body", "executions"), ("body", "sets")
SETS = ("sets",)
"""Where the sets of parameters of a batch stand in the body, or would if they had been sent."""
Place = tuple[str | int, ...]


class WrongField(BaseModel):
    """One of the ``errors`` of a problem document: a field of the request, and what is wrong with it."""

    loc: list[str | int] = Field(
        description="Where it stands in the request.", examples=[["body", "executions", 3, "parameters", "region"]]
    )
    msg: str = Field(description="What is wrong, in words.")
    detail: str = Field(description="As `msg`.")
    type: str = Field(description="The kind of problem.", examples=["/problems/parameter-invalid"])
    status: int = Field(description="The status that it would have alone.", examples=[422])
    index: int | None = Field(None, description="Which of the executions or sets of a request, counted from 0.")
    parameter: str | None = Field(None, description="The parameter of the notebook, where it is one.")
    rule: str | None = Field(None, description="The rule that the parameter breaks.")


def _wrong(
    loc: Sequence[str | int], why: str, error: PressroomError | type[PressroomError], **facts: Any
) -> dict[str, Any]:
    """The field at ``loc``, which is wrong as ``error`` is, as JSON."""
    number = loc[2] if len(loc) > 2 and tuple(loc[:2]) in _MANY else None
    index = number if isinstance(number, int) else None
    kind = PROBLEM_BASE + error.slug
    field = WrongField(loc=list(loc), msg=why, detail=why, type=kind, status=error.status, index=index, **facts)
    return field.model_dump()


@contextmanager
def about(field: str) -> Iterator[None]:
    """What is raised inside is about this field of the request, unless it says another one itself."""
    try:
        yield
    except PressroomError as error:
        error.where = error.where or (field,)
        raise


def refusal(errors: Mapping[Place, PressroomError], count: int | None = None) -> PressroomError:
    """The error of a request whose orders at these places in its body were refused: that of the first, which names
    them all in ``errors``, a :class:`WrongField` each. An order that stands alone, at no place, keeps its own.
    ``count``: how many were refused, where ``errors`` are but the first of them."""
    first = next(iter(errors.values()))
    if () in errors:
        return first
    entries = [entry for place, error in errors.items() for entry in _entries(place, error)]
    some = list(errors.items())[:_SENTENCES]
    told = [f"{_path(_told(place, error))}: {_sentence(error)}" for place, error in some]
    rest = (count or len(errors)) - len(told)
    more = [f"And {rest} more."] if rest else []
    named = first.from_problem(first.problem())  # the same one may stand for several orders
    named.detail = " ".join([*told, *more])
    named.args = (named.detail,)
    named.facts["errors"] = entries
    if count is not None:
        named.facts["wrong"] = count
    return named


def problem_of(error: PressroomError) -> dict[str, Any]:
    """The problem document of an error, with its ``errors`` in the form of :class:`WrongField`."""
    document = error.problem()
    if isinstance(error, ParameterInvalid) and not any("loc" in entry for entry in error.errors):
        document["errors"] = list(_entries((), error))
    return document


def not_valid(wrong: Sequence[Any], sentence: str) -> Invalid:
    """The error of a request whose fields are not valid, as pydantic tells of them."""
    return Invalid(sentence, errors=[_wrong(one["loc"], one["msg"], Invalid) for one in wrong])


def _sentence(error: PressroomError) -> str:
    """What an error says of its field, whose name may stand before it already."""
    return error.detail.removeprefix(f"{error.where[-1]}: ") if error.where else error.detail


def _entries(place: Place, error: PressroomError) -> Iterator[dict[str, Any]]:
    if isinstance(error, ParameterInvalid):
        loc = ["body", *_loc(place, error)]
        each = error.errors or [{"parameter": error.parameter, "rule": error.rule, "detail": error.detail}]
        for one in each:
            name = one["parameter"]
            yield _wrong([*loc, name], one["detail"], error, parameter=name, rule=one["rule"])
        return
    yield _wrong(["body", *place, *error.where], error.detail, error)


def _loc(place: Place, error: PressroomError) -> Place:
    """Where an error of an order stands: in a set of parameters, which is nothing else, the parameter itself."""
    if isinstance(error, ParameterInvalid):
        return place if place[:1] == SETS else (*place, *(error.where or ("parameters",)))
    return (*place, *error.where)


def _told(place: Place, error: PressroomError) -> Place:
    """The same as it is told in the sentence: ``sets[17].region``."""
    loc = _loc(place, error)
    return (*loc, error.parameter) if isinstance(error, ParameterInvalid) and place[:1] == SETS else loc


def _path(place: Place) -> str:
    """As people write it: ``executions[3].parameters``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".")
