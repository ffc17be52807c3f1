"""The parameters that an execution is given, and how its row keeps them: secrets apart and encrypted, and where others
see the parameters, a mark in place of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from pressroom.database.models import Execution
from pressroom.errors import ParameterInvalid
from pressroom.parameters.rules import Definition
from pressroom.parameters.sealing import Purpose, SecretKeys
from pressroom.parameters.values import check_unregistered, guessed, resolve
from pressroom.press.masks import MARK


@dataclass(frozen=True, slots=True)
class ParametersUsed:
    """The values that an execution is given, and the names of those that are secret."""

    values: Mapping[str, JsonValue] = field(repr=False)
    secret: frozenset[str]

    def columns(self, keys: SecretKeys, purpose: Purpose) -> dict[str, Any]:
        """The columns of the execution's row. Raises :class:`ParameterInvalid` for a secret where there is no key."""
        hidden = {name: value for name, value in self.values.items() if name in self.secret}
        return {
            "parameters_used": {**self.values, **dict.fromkeys(hidden, MARK)},
            "secrets": keys.sealed(hidden, purpose) if hidden else None,
        }


def used(
    given: Mapping[str, JsonValue],
    definitions: Sequence[Definition] | None,
    secret: frozenset[str],
    *,
    lenient: bool = False,
    hidden: Collection[str] | None = None,
) -> ParametersUsed:
    """What is used of what was given, by the definitions of a registered notebook; ``None``: it is not registered.

    ``secret``: the names of the secret ones, also where the definitions are not the caller's to see. ``lenient``: the
    values are texts. ``hidden``: the names of those that were given where nobody else could see them; ``None``: all of
    them. Raises :class:`ParameterInvalid`.
    """
    _check_hidden(given, secret, hidden)
    if definitions is not None:
        return ParametersUsed(resolve(definitions, given, lenient=lenient), secret)
    values = {name: guessed(v) if lenient and isinstance(v, str) else v for name, v in given.items()}
    check_unregistered(values)
    return ParametersUsed(values, secret)


def used_again(execution: Execution, secret: frozenset[str], keys: SecretKeys) -> ParametersUsed:
    """What an execution used, for one that repeats it: secret is what was, and what has become so since, ``secret``.
    Raises :class:`SecretUnreadable`."""
    values: dict[str, JsonValue] = execution.parameters_used or {}
    if execution.secrets is not None:
        hidden = keys.opened(execution.secrets, (execution.id, execution.username, execution.input_path))
        values, secret = {**values, **hidden}, secret | hidden.keys()
    return ParametersUsed(values, secret)


def _check_hidden(given: Mapping[str, JsonValue], secret: Collection[str], hidden: Collection[str] | None) -> None:
    problems: list[ParameterInvalid] = []
    for name, value in given.items():
        if name in secret and value == MARK:
            why = f"is {MARK}, which is shown in place of a secret; give the secret itself"
            problems.append(ParameterInvalid(name, "secret", why))
        elif hidden is not None and name in secret and name not in hidden:
            why = f"is a secret; give it with --secret {name}, since whoever lists processes reads their arguments"
            problems.append(ParameterInvalid(name, "secret", why))
        elif hidden is not None and name in hidden and name not in secret:
            why = "is not marked secret in the notebook's definitions, so it would be shown; give it with -p"
            problems.append(ParameterInvalid(name, "secret", why))
    if problems:
        raise ParameterInvalid.of(problems)
