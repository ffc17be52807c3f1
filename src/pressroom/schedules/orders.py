"""The order that a tick of a schedule is: as whom, with which parameters."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from pydantic import JsonValue
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from pressroom.database.models import Schedule
from pressroom.database.session import Connection
from pressroom.errors import Invalid, ParameterInvalid
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Order, Origin
from pressroom.executions.refusals import about
from pressroom.executions.registered import Registered, opened
from pressroom.identity.policy import viewer
from pressroom.identity.principal import Principal
from pressroom.parameters.rules import Definition, ParameterType
from pressroom.parameters.sealing import Purpose, SecretKeys
from pressroom.parameters.values import checked
from pressroom.press.masks import MARK
from pressroom.schedules.template_values import Named, Tick
from pressroom.schedules.templates import MOST_TEMPLATES, count, is_template, rendered

SOURCE = "schedule"
"""What a schedule's executions are known to come from, in the audit."""
_READ_FROM_TEXT = (ParameterType.INTEGER, ParameterType.FLOAT, ParameterType.BOOLEAN)


def principal_of(schedule: Schedule) -> Principal:
    """Who submits the executions of a schedule."""
    held = (schedule.owner_groups, schedule.owner_roles)
    return Principal.person(schedule.username, groups=held[0], roles=held[1], source=SOURCE)


async def notebook_of(connection: Connection, principal: Principal, notebook_id: int) -> Registered | None:
    """A registered notebook with its definitions, and what was granted to ``principal``."""
    return (await opened(connection, viewer(principal), 0, {notebook_id})).notebooks.get(notebook_id)


def purpose_of(schedule: Schedule) -> Purpose:
    """What the secrets of a schedule are sealed for: no path of a notebook begins like this."""
    return schedule.id, schedule.username, f"schedule of notebook {schedule.notebook_id}"


def named(schedule: Schedule) -> Named:
    """A schedule, as its templates see it."""
    return Named(schedule.id, schedule.name, schedule.cron, schedule.timezone, schedule.notebook_id)


class Orders:
    """Makes the orders of one schedule. Its secrets are opened once.

    Raises :class:`ParameterInvalid` where one of them is no longer marked secret in the notebook's definitions, so that
    it would be shown, and :class:`SecretUnreadable`.
    """

    def __init__(self, schedule: Schedule, notebook: Registered | None, keys: SecretKeys) -> None:
        self._schedule = schedule
        self._definitions = {each.name: each for each in notebook.definitions} if notebook else {}
        secrets = opened_secrets(schedule, keys)
        if notebook is not None and (shown := sorted(secrets.keys() - notebook.secret_names)):
            why = "was saved as a secret and is not marked secret any more; save the schedule's parameters again"
            error = ParameterInvalid.of([ParameterInvalid(name, "secret", why) for name in shown])
            error.where = ("parameters",)
            raise error
        self._secrets = secrets
        given = {name: value for name, value in schedule.parameters.items() if name not in secrets}
        self._templates = {name: value for name, value in given.items() if count(value)}
        self._shared = {name: value for name, value in given.items() if name not in self._templates} | secrets
        self._named = named(schedule)

    async def order(self, at: datetime) -> Order:
        """The order of a tick. Raises :class:`ParameterInvalid` for a template that cannot be rendered, and where there
        are too many."""
        return Order(
            # Others get their turn meanwhile: rendering may take a second.
            parameters=await asyncio.to_thread(self.parameters, at),
            notebook_id=self._schedule.notebook_id,
            how=HowToExecute.model_validate(self._schedule.how),
            origin=Origin(schedule_id=self._schedule.id, scheduled_at=at),
        )

    def parameters(self, at: datetime) -> dict[str, JsonValue]:
        """The parameters of a tick. Raises as :meth:`order`."""
        with about("parameters"):
            return self._shared | rendered_for(self._templates, self._definitions, Tick(self._named, at))


def rendered_for(
    given: Mapping[str, JsonValue], definitions: Mapping[str, Definition], at: Tick
) -> dict[str, JsonValue]:
    """Parameters with their templates rendered; what was one expression alone, as its parameter's type has it.

    Raises :class:`ParameterInvalid` with every template that cannot be used, and where there are more than
    :data:`MOST_TEMPLATES`.
    """
    total = 0
    for name, value in given.items():
        total += count(value)
        if total > MOST_TEMPLATES:
            why = f"holds too many templates: the parameters of a schedule have {MOST_TEMPLATES} at most"
            raise ParameterInvalid.of([ParameterInvalid(name, "template", why)])
    found: dict[str, JsonValue] = {}
    problems: list[ParameterInvalid] = []
    for name, value in given.items():
        try:
            said = rendered(value, at)
        except Invalid as error:
            problems.append(ParameterInvalid(name, "template", f"cannot be rendered: {error.detail}"))
            continue
        found[name] = _fitted(definitions.get(name), said) if is_template(value) else said
    if problems:
        raise ParameterInvalid.of(problems)
    return found


def _fitted(definition: Definition | None, value: JsonValue) -> JsonValue:
    """What a template gave, as the type of its parameter; what cannot be is left to the check of the parameter."""
    if definition is None:
        return value
    kind = ParameterType(definition.type)
    if kind is ParameterType.STRING and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if kind in _READ_FROM_TEXT and isinstance(value, str):
        return checked(definition, value, lenient=True)
    return value


def opened_secrets(schedule: Schedule, keys: SecretKeys) -> dict[str, JsonValue]:
    """The secrets of a schedule. Raises :class:`SecretUnreadable`."""
    if schedule.secrets is None:
        return {}
    return keys.opened(schedule.secrets, purpose_of(schedule), SOURCE)


def set_parameters(
    schedule: Schedule, values: Mapping[str, JsonValue], secret: Collection[str], keys: SecretKeys
) -> None:
    """Keep the parameters of a schedule that has its id: secrets apart and encrypted, with a mark in their place.

    Raises :class:`ParameterInvalid` for a secret where there is no key.
    """
    schedule.parameters, schedule.secrets = _kept(schedule, values, secret, keys)


async def seal_late(session: AsyncSession, schedule: Schedule, secret: Collection[str], keys: SecretKeys) -> None:
    """Encrypt the values of a locked schedule that have become secret since it was saved, but for templates, which are
    not secrets themselves. That is no change of the schedule.

    Raises as :func:`set_parameters`, and :class:`SecretUnreadable`.
    """
    late = {name: value for name, value in schedule.parameters.items() if name in secret and not count(value)}
    sealed = opened_secrets(schedule, keys)
    if late.keys() <= sealed.keys():
        return
    hidden = late | sealed
    parameters, secrets = _kept(schedule, schedule.parameters | hidden, hidden.keys(), keys)
    kept = {"parameters": parameters, "secrets": secrets, "updated_at": Schedule.updated_at}
    changed = update(Schedule).where(Schedule.id == schedule.id).values(**kept)
    await session.execute(changed.execution_options(synchronize_session=False))
    set_committed_value(schedule, "parameters", parameters)
    set_committed_value(schedule, "secrets", secrets)


def _kept(
    schedule: Schedule, values: Mapping[str, JsonValue], secret: Collection[str], keys: SecretKeys
) -> tuple[dict[str, JsonValue], str | None]:
    """The parameters with marks, and the ciphertext of those that are secret."""
    hidden = {name: value for name, value in values.items() if name in secret}
    with about("parameters"):
        sealed = keys.sealed(hidden, purpose_of(schedule)) if hidden else None
    return {**values, **dict.fromkeys(hidden, MARK)}, sealed


def read_from_texts(given: Mapping[str, JsonValue], definitions: Sequence[Definition]) -> dict[str, JsonValue]:
    """Parameters that were typed: texts become what their definitions say; templates stay.

    Raises :class:`ParameterInvalid`.
    """
    known = {each.name: each for each in definitions}
    found: dict[str, JsonValue] = {}
    for name, value in given.items():
        typed = isinstance(value, str) and name in known and not is_template(value)
        found[name] = checked(known[name], value, lenient=True) if typed else value
    return found
