"""Backfills: the ticks of a schedule in a range of time that is over, as one batch."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime
from typing import overload

from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches import service as batches
from pressroom.batches.plans import BatchPlan, Set
from pressroom.database.models import Batch, Schedule
from pressroom.database.session import driver_connection
from pressroom.errors import Invalid
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Intake
from pressroom.executions.refusals import about
from pressroom.identity.principal import Principal
from pressroom.parameters.sealing import SecretKeys
from pressroom.schedules import due, service, ticks
from pressroom.schedules.orders import Orders, notebook_of, principal_of
from pressroom.schedules.schemas import BackfillWanted
from pressroom.settings import MEBIBYTE

MOST_BYTES = 256 * MEBIBYTE
"""About how long the parameters of all executions of a backfill may be in all, as JSON."""


class TickSets(Sequence[Set]):
    """The parameters of ticks, each made when it is asked for. What does not use the tick is shared by all of them."""

    def __init__(self, orders: Orders, found: Sequence[datetime]) -> None:
        self._orders, self._found = orders, found

    def require_small(self, most: int) -> None:
        """Raise :class:`Invalid` where all of them are longer than ``most`` bytes, as the first one has it."""
        size = len(json.dumps(self[0])) * len(self)
        if size > most:
            said = f"{len(self)} times these parameters are about {size / MEBIBYTE:,.0f} MiB"
            raise Invalid(f"{said}; a backfill has {most // MEBIBYTE} MiB at most. Have fewer ticks at once.")

    def __len__(self) -> int:
        return len(self._found)

    @overload
    def __getitem__(self, index: int) -> Set: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Set]: ...
    def __getitem__(self, index: int | slice) -> Set | Sequence[Set]:
        if isinstance(index, slice):
            return [self._orders.parameters(tick) for tick in self._found[index]]
        return self._orders.parameters(self._found[index])


async def begin(
    session: AsyncSession, intake: Intake, principal: Principal, schedule_id: int, wanted: BackfillWanted
) -> Batch:
    """Add a batch with an execution for each tick from ``from`` to ``to``, both of them in it, whatever the schedule's
    own start and end, and whether or not a tick has fired before.

    Raises :class:`NotFound`, :class:`NotAllowed`, :class:`OverLimit` for more ticks than a batch may have,
    :class:`Invalid` where there are none or ``to`` lies ahead, and what beginning a batch raises.
    """
    schedule = await service.owned(session, principal, schedule_id)
    require_forwards(wanted)
    with about("to"):
        if wanted.to > await due.moment(session):
            raise Invalid("to lies ahead; ticks that are to come fire by themselves.")
    most = intake.settings.batch_limit
    with about("from"):
        # As many as are one too many, and none of them more: a range can hold millions.
        found = await asyncio.to_thread(_ticks, schedule, wanted, most + 1)
        batches.require_batch(intake.settings, len(found))
    by = principal_of(schedule)
    notebook = await notebook_of(await driver_connection(session), by, schedule.notebook_id)
    orders = Orders(schedule, notebook, SecretKeys.of(intake.settings))
    sets = TickSets(orders, found)
    with about("from"):
        await asyncio.to_thread(sets.require_small, MOST_BYTES)
    plan = BatchPlan(
        notebook_id=schedule.notebook_id,
        sets=sets,
        source="backfill",
        plan={"from": wanted.from_.isoformat(), "to": wanted.to.isoformat(), "cron": schedule.cron},
        name=schedule.name,
        how=HowToExecute.model_validate(schedule.how),
        batch_limit=wanted.concurrency_limit,
        in_order=wanted.in_order,
        stop_after_failures=wanted.stop_after_failures,
        schedule_id=schedule.id,
        scheduled=found,
    )
    return await batches.begin(session, intake, by, plan)


def require_forwards(wanted: BackfillWanted) -> None:
    """Raise :class:`Invalid` for a range whose end lies before its start."""
    with about("to"):
        if wanted.to < wanted.from_:
            raise Invalid("to must not lie before from.")


def _ticks(schedule: Schedule, wanted: BackfillWanted, most: int) -> list[datetime]:
    return ticks.between(schedule.cron, ticks.zone(schedule.timezone), wanted.from_, wanted.to, most)
