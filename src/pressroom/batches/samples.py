"""Samples of a notebook's parameters: points of the unit cube, by SciPy's ``qmc``, brought to what each may be."""

import math
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import JsonValue

from pressroom.batches.plans import MOST_VALUES
from pressroom.batches.schemas import Method, Range, Sample
from pressroom.errors import Invalid, ParameterInvalid, shown
from pressroom.extras import load
from pressroom.parameters.rules import Definition, ParameterType, canonical

T = ParameterType
_SCALE = 2**53
"""How finely a float between 0 and 1 is told apart."""
_MOST_DIMENSIONS = 1000
_MOST_EXPONENT = math.log(sys.float_info.max)


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter of a sample. ``at`` gives the value for a number from 0 to below 1."""

    name: str
    at: Callable[[float], JsonValue]


def drawn(definitions: Sequence[Definition], wanted: Sample, fixed: Mapping[str, JsonValue]) -> list[dict[str, Any]]:
    """The sets of a sample, whose seed is set. Takes seconds where it is large, SciPy's import among them: call it in a
    thread.

    Raises :class:`ParameterInvalid` for a parameter that cannot be drawn, :class:`Invalid` for a sample that is too
    large, and :class:`NotInstalled` without SciPy.
    """
    axes = axes_of(definitions, wanted, fixed)
    if len(axes) * wanted.count > MOST_VALUES:
        why = f"{wanted.count:,} sets of {len(axes):,} parameters, and at most {MOST_VALUES:,} values are drawn"
        raise Invalid(f"The sample is of {why}; name fewer parameters, or say a lower count.")
    points = _points(wanted.method, len(axes), wanted.count, cast("int", wanted.seed))
    return [{axis.name: axis.at(u) for axis, u in zip(axes, point, strict=True)} for point in points]


def axes_of(definitions: Sequence[Definition], wanted: Sample, fixed: Mapping[str, JsonValue]) -> list[Axis]:
    """What is drawn: the parameters that are named; if none is, all with bounds that are neither secret nor ``fixed``.
    Raises :class:`ParameterInvalid`, naming each that cannot be drawn."""
    named = dict.fromkeys([*(wanted.parameters or ()), *wanted.ranges])
    known = {definition.name: definition for definition in definitions}
    axes: list[Axis] = []
    problems: list[ParameterInvalid] = []
    for name in named or (name for name in known if name not in fixed):
        try:
            axes.append(_axis(name, known.get(name), wanted.ranges.get(name, Range()), fixed))
        except ParameterInvalid as error:
            problems.append(error)
    if named and problems:
        raise ParameterInvalid.of(problems)
    if not axes:
        raise Invalid("None of the notebook's parameters has bounds to draw from; say some in ranges.")
    if len(axes) > _MOST_DIMENSIONS:
        raise Invalid(f"A sample has at most {_MOST_DIMENSIONS} parameters, not {len(axes)}.")
    return axes


def _axis(name: str, definition: Definition | None, said: Range, fixed: Mapping[str, JsonValue]) -> Axis:
    if definition is None:
        raise ParameterInvalid(name, "unknown", "is not one of the notebook's parameters")
    if name in fixed:
        raise ParameterInvalid(name, "range", "is drawn and fixed; say one of the two")
    if definition.secret:
        raise ParameterInvalid(name, "secret", "is a secret and cannot be drawn; give it in parameters")
    options = _options(definition, said)
    if options is not None:
        return Axis(name, _choice(options))
    low, high = _bounds(definition, said)
    if low > high:
        ends = f"{shown(str(low))} to {shown(str(high))}"
        raise ParameterInvalid(name, "range", f"cannot be drawn from {ends}: nothing lies there")
    if said.log and low <= 0:
        raise ParameterInvalid(name, "range", "cannot be drawn on a logarithmic scale from 0 or less; say a higher min")
    if definition.type == T.INTEGER and not said.log:
        return Axis(name, _integer(int(low), int(high)))
    if max(abs(low), abs(high)) > sys.float_info.max:
        raise ParameterInvalid(name, "range", "cannot be drawn from what is larger than the largest float, 1.8e308")
    if definition.type == T.INTEGER:
        return Axis(name, _log_integer(int(low), int(high)))
    return Axis(name, (_log_float if said.log else _float)(float(low), float(high)))


def _options(definition: Definition, said: Range) -> Sequence[JsonValue] | None:
    if said != Range() or definition.type == T.LIST:
        return said.options
    if definition.type == T.BOOLEAN:
        return cast("list[JsonValue]", canonical(definition.rules).get("options", [False, True]))
    return cast("list[JsonValue] | None", canonical(definition.rules).get("options"))


def _bounds(definition: Definition, said: Range) -> tuple[float, float]:
    """From where to where a number is drawn, both ends included."""
    name, rules = definition.name, canonical(definition.rules)
    if definition.type not in (T.INTEGER, T.FLOAT):
        why = f"is a {definition.type} without options, so it has no bounds to be drawn from; say options"
        raise ParameterInvalid(name, "range", why)
    low, high = (
        cast("float | None", rules.get(end) if said is None else said)
        for end, said in (("min", said.min), ("max", said.max))
    )
    if low is None or high is None:
        which = " and ".join(word for word, bound in (("min", low), ("max", high)) if bound is None)
        raise ParameterInvalid(name, "range", f"has no {which} to be drawn from; say it in ranges.{name}")
    return (math.ceil(low), math.floor(high)) if definition.type == T.INTEGER else (low, high)


def _choice(options: Sequence[JsonValue]) -> Callable[[float], JsonValue]:
    return lambda u: options[int(u * _SCALE) * len(options) // _SCALE]


def _integer(low: int, high: int) -> Callable[[float], JsonValue]:
    """Each integer with the same share, however large they are."""
    return lambda u: low + int(u * _SCALE) * (high - low + 1) // _SCALE


def _log_integer(low: int, high: int) -> Callable[[float], JsonValue]:
    start, end = math.log(low - 0.5), math.log(high + 0.5)
    return lambda u: min(max(round(_exp(start + u * (end - start))), low), high)


def _float(low: float, high: float) -> Callable[[float], JsonValue]:
    return lambda u: min(max(low * (1 - u) + high * u, low), high)


def _log_float(low: float, high: float) -> Callable[[float], JsonValue]:
    start, end = math.log(low), math.log(high)
    return lambda u: min(max(_exp(start + u * (end - start)), low), high)


def _exp(power: float) -> float:
    """The exponential function, which ends where floats do."""
    return math.exp(min(power, _MOST_EXPONENT))


def _points(method: Method, dimensions: int, count: int, seed: int) -> Sequence[Sequence[float]]:
    if method is Method.RANDOM:
        source = random.Random(seed)  # noqa: S311 - a sample, no secret
        return [[source.random() for _ in range(dimensions)] for _ in range(count)]
    qmc = load("scipy.stats.qmc", f"The method {method}")
    engines: dict[Method, Callable[..., Any]] = {
        Method.LATIN_HYPERCUBE: qmc.LatinHypercube,
        Method.SOBOL: qmc.Sobol,
        Method.HALTON: qmc.Halton,
    }
    engine = engines[method](dimensions, rng=seed)
    if method is Method.SOBOL:
        # The same points as ``random(count)``, which warns where that is no power of two.
        return engine.random_base2(max(0, count - 1).bit_length())[:count].tolist()
    return engine.random(count).tolist()
