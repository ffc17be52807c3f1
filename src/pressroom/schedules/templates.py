"""Texts that use the tick: ``{{ scheduled_at | add_days(-1) | date }}``.

Jinja reads a template, and runs none of it: what it read is a tree, and only the kinds of nodes in :data:`_KINDS` are
known here, each with what it does. There are no statements, no loops, no attributes and no calls but those
that are listed, no repetition of texts and no powers, so a template costs about as much as it is long.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, TemplateSyntaxError, nodes
from pydantic import JsonValue

from pressroom.errors import Invalid, PressroomError, ended, shown
from pressroom.schedules.template_values import FILTERS, METHODS, MOST, NAMES, Tick, attribute, text

LONGEST = 2000
"""Characters of a template."""
MOST_NUMBER = 10**15
MOST_TEMPLATES = 100
"""Templates in the parameters of a schedule."""
DEEPEST = 40
"""How deep the parts of a template may lie in each other."""
# Comments would vanish without a word; no text holds what begins one here.
_JINJA = Environment(autoescape=False, comment_start_string="\0#", comment_end_string="#\0")  # noqa: S701 - no HTML
_NUMBERS = (nodes.Add, nodes.Sub, nodes.Mul, nodes.FloorDiv, nodes.Mod)
_COMPARED: Mapping[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
}


_OPERATORS = {"notin": "not in"}
"""What Jinja calls otherwise than people write it."""


def is_template(value: JsonValue) -> bool:
    """Whether a text uses the tick."""
    return isinstance(value, str) and ("{{" in value or "{%" in value)


def count(value: JsonValue) -> int:
    """How many templates there are in a value, however deep."""
    if isinstance(value, dict):
        return sum(map(count, value.values()))
    return sum(map(count, value)) if isinstance(value, list) else is_template(value)


def rendered(value: JsonValue, tick: Tick) -> JsonValue:
    """A value with the texts in it that are templates, however deep, rendered for a tick. A text that is one expression
    alone becomes what that is: a number stays a number.

    Raises :class:`Invalid`, without saying where.
    """
    if isinstance(value, dict):
        return {name: rendered(each, tick) for name, each in value.items()}
    if isinstance(value, list):
        return [rendered(each, tick) for each in value]
    if not isinstance(value, str) or not is_template(value):
        return value
    parts = _parts(value)
    try:
        found = [part if isinstance(part, str) else _value(part, tick) for part in parts]
    except PressroomError as error:
        raise Invalid(f"{shown(value)!r} is a template that cannot be used: {error.detail}") from error
    except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
        raise Invalid(f"{shown(value)!r} is a template that cannot be used: {error}") from error
    [first, *rest] = found
    if not rest and not isinstance(parts[0], str):
        return first if isinstance(first, int | float | None) else _bounded(text(first))
    return _bounded("".join(text(each) for each in found))


@lru_cache(maxsize=1000)
def _parts(template: str) -> list[str | nodes.Expr]:
    """The texts and the expressions of a template. Raises :class:`Invalid`."""
    if len(template) > LONGEST:
        raise Invalid(f"A template has at most {LONGEST} characters.")
    try:
        tree = _JINJA.parse(template.strip())
        found = [part for output in tree.body for part in _outputs(output)]
        for part in found:
            if not isinstance(part, str):
                _require_known(part, 0)
    except TemplateSyntaxError as error:
        raise Invalid(f"{shown(template)!r} is no template: {ended(error.message or 'it cannot be read')}") from error
    except RecursionError as error:
        raise Invalid(f"{shown(template)!r} is no template: its parts lie too deep in each other.") from error
    except Invalid as error:
        raise Invalid(f"{shown(template)!r} is a template that cannot be used: {error.detail}") from error
    return found


def _outputs(node: nodes.Node) -> list[str | nodes.Expr]:
    if not isinstance(node, nodes.Output):
        raise Invalid(f"there are no statements in it, such as {{% {type(node).__name__.lower()} %}}")
    return [part.data if isinstance(part, nodes.TemplateData) else part for part in node.nodes]


def _require_known(node: nodes.Node, depth: int) -> None:
    """Raise :class:`Invalid` for what no template may use, however it is used, so that it is known when it is saved."""
    if depth > DEEPEST:
        raise Invalid("its parts lie too deep in each other")
    if isinstance(node, nodes.Name) and node.name not in NAMES:
        raise Invalid(f"there is no {shown(node.name)!r}; there are {', '.join(NAMES)}")
    if isinstance(node, nodes.Filter):
        _require_filter(node)
    elif isinstance(node, nodes.Call):
        _require_method(node)
    elif isinstance(node, nodes.Operand):
        if node.op not in _COMPARED:
            raise Invalid(f"{_OPERATORS.get(node.op, node.op)} cannot be used in it")
    elif not isinstance(node, tuple(_KINDS)):
        raise Invalid(f"{_kind(node)} cannot be used in it")
    for child in node.iter_child_nodes():
        _require_known(child, depth + 1)


def _require_filter(node: nodes.Filter) -> None:
    if node.name not in FILTERS:
        raise Invalid(f"there is no filter {shown(node.name)!r}; there are {', '.join(FILTERS)}")
    if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None or node.node is None:
        raise Invalid(f"{node.name} takes plain values")


def _require_method(node: nodes.Call) -> None:
    known = isinstance(node.node, nodes.Getattr) and node.node.attr in METHODS
    if not known or node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
        raise Invalid(f"a call cannot be used in it, but those of {', '.join(METHODS)} of a time")


def _kind(node: nodes.Node) -> str:
    """What people call a kind of node."""
    names: dict[type[nodes.Node], str] = {
        nodes.Pow: "** (a power)",
        nodes.Div: "/ (use //)",
        nodes.Getitem: "[...]",
        nodes.Test: "a test (is ...)",
        nodes.List: "a list",
        nodes.Tuple: "a tuple",
        nodes.Dict: "an object",
    }
    return names.get(type(node), type(node).__name__)


def _value(node: nodes.Node, tick: Tick) -> Any:
    for kind, evaluate in _KINDS.items():
        if isinstance(node, kind):
            return evaluate(node, tick)
    raise Invalid(f"{_kind(node)} cannot be used in it")


def _bounded(found: str) -> str:
    if len(found) > MOST:
        raise Invalid(f"A rendered text has at most {MOST} characters.")
    return found


def _constant(node: nodes.Const, _: Tick) -> str | int | float | bool | None:
    if isinstance(node.value, str | bool | None):
        return node.value
    return _number(node.value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"only numbers are counted with, not {shown(text(value))!r}")
    if not abs(value) < MOST_NUMBER:
        raise Invalid("a number in it is too large")
    return value


def _filtered(node: nodes.Filter, tick: Tick) -> Any:
    assert node.node is not None
    return _applied(node.name, node.node, node.args, tick)


def _called(node: nodes.Call, tick: Tick) -> Any:
    assert isinstance(node.node, nodes.Getattr)
    return _applied(node.node.attr, node.node.node, node.args, tick)


def _applied(name: str, to: nodes.Node, arguments: Sequence[nodes.Node], tick: Tick) -> Any:
    given = _value(to, tick)
    try:
        return FILTERS[name](given, *(_value(argument, tick) for argument in arguments))
    except Invalid as error:
        raise Invalid(f"{name}: {error.detail}") from error
    except TypeError as error:
        raise Invalid(f"{name} takes other values than these") from error


def _counted(node: nodes.BinExpr, tick: Tick) -> int | float:
    left, right = (_number(_value(side, tick)) for side in (node.left, node.right))
    match node:
        case nodes.Add():
            return _number(left + right)
        case nodes.Sub():
            return _number(left - right)
        case nodes.Mul():
            return _number(left * right)
        case nodes.FloorDiv():
            return _number(left // right)
        case _:
            return _number(left % right)


def _compared(node: nodes.Compare, tick: Tick) -> bool:
    left = _value(node.expr, tick)
    for operand in node.ops:
        right = _value(operand.expr, tick)
        if not _COMPARED[operand.op](left, right):
            return False
        left = right
    return True


def _chosen(node: nodes.CondExpr, tick: Tick) -> Any:
    if _value(node.test, tick):
        return _value(node.expr1, tick)
    return None if node.expr2 is None else _value(node.expr2, tick)


_KINDS: Mapping[Any, Callable[[Any, Tick], Any]] = {
    nodes.Const: _constant,
    nodes.Name: lambda node, tick: NAMES[node.name](tick),
    nodes.Getattr: lambda node, tick: attribute(_value(node.node, tick), node.attr),
    nodes.Filter: _filtered,
    nodes.Call: _called,
    nodes.Concat: lambda node, tick: _bounded("".join(text(_value(each, tick)) for each in node.nodes)),
    nodes.Compare: _compared,
    nodes.CondExpr: _chosen,
    nodes.And: lambda node, tick: _value(node.left, tick) and _value(node.right, tick),
    nodes.Or: lambda node, tick: _value(node.left, tick) or _value(node.right, tick),
    nodes.Not: lambda node, tick: not _value(node.node, tick),
    nodes.Neg: lambda node, tick: -_number(_value(node.node, tick)),
    **dict.fromkeys(_NUMBERS, _counted),
}
"""Each kind of node that a template may be made of, and what it is worth."""
