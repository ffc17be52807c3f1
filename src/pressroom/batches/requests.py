"""Makes plans of what is asked for: a list of sets, a grid, a sample, a file."""

import asyncio
import random
from collections.abc import Iterable
from functools import partial
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from pressroom.batches.plans import BatchPlan, Grid
from pressroom.batches.samples import drawn
from pressroom.batches.schemas import BatchCreate, BatchFields, Sample
from pressroom.batches.service import require_batch
from pressroom.batches.uploads import Table, read
from pressroom.errors import ParameterInvalid
from pressroom.identity.principal import Principal
from pressroom.identity.rights import Level
from pressroom.notebooks import levels
from pressroom.parameters import service as parameters
from pressroom.parameters.rules import Definition
from pressroom.parameters.values import from_texts
from pressroom.settings import Settings


async def planned(
    session: AsyncSession, settings: Settings, principal: Principal, wanted: BatchCreate, **more: Any
) -> BatchPlan:
    """The plan of a request. ``more``: what else the plan is to say.

    Raises :class:`NotFound`, :class:`NotAllowed`, :class:`OverLimit`, and :class:`ParameterInvalid` where a name of the
    grid or of the sample is none of the notebook's parameters.
    """
    definitions = await _definitions(session, principal, wanted.notebook_id)
    if wanted.sets is not None:
        return _plan(wanted, wanted.sets, "sets", {}, more)
    if wanted.grid is not None:
        grid = Grid(wanted.grid)
        require_batch(settings, grid.total)
        _require_known(definitions, wanted.grid)
        return _plan(wanted, grid, "grid", {"grid": {name: list(each) for name, each in wanted.grid.items()}}, more)
    assert wanted.sample is not None
    require_batch(settings, wanted.sample.count)
    sample = seeded(wanted.sample)
    sets = await asyncio.to_thread(drawn, definitions, sample, wanted.parameters)
    said: dict[str, Any] = sample.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    if (names := said.pop("parameters", None)) is not None:
        said["drawn"] = names  # `parameters` are those that all sets share
    return _plan(wanted, sets, "sample", {"method": sample.method.value, "seed": sample.seed, **said}, more)


async def planned_of_file(
    session: AsyncSession,
    settings: Settings,
    principal: Principal,
    wanted: BatchFields,
    data: bytes,
    most_bytes: int,
) -> BatchPlan:
    """The plan of a file of sets. Raises as :func:`planned` and :func:`pressroom.batches.uploads.read`."""
    definitions = await _definitions(session, principal, wanted.notebook_id)
    require = partial(_require_known, definitions)
    table: Table = await asyncio.to_thread(read, data, settings.batch_limit, most_bytes, require)
    return _of_table(wanted, table)


async def planned_of_table(
    session: AsyncSession,
    principal: Principal,
    wanted: BatchFields,
    table: Table,
    *,
    texts: bool = False,
    hidden: frozenset[str] | None = None,
) -> BatchPlan:
    """The plan of a table. ``texts``: the parameters that all sets share are texts, whatever the table's are.
    ``hidden`` names those of them that were given where nobody sees them; ``None`` is all. Nobody sees the table.

    Raises as :func:`planned`.
    """
    definitions = await _definitions(session, principal, wanted.notebook_id)
    _require_known(definitions, [*table.columns, *wanted.parameters])
    if texts and not table.texts:
        wanted = wanted.model_copy(update={"parameters": from_texts(definitions, wanted.parameters)})
    if hidden is not None:
        hidden |= {each.name for each in definitions if each.secret and each.name in table.columns}
    return _of_table(wanted, table, hidden=hidden)


def _of_table(wanted: BatchFields, table: Table, **more: Any) -> BatchPlan:
    more["lenient"] = table.texts
    return _plan(wanted, table.sets, "file", {"columns": list(table.columns)}, more)


def seeded(sample: Sample) -> Sample:
    """The sample with a seed: by chance, where none was said."""
    if sample.seed is not None:
        return sample
    return sample.model_copy(update={"seed": random.SystemRandom().randrange(2**32)})


async def _definitions(session: AsyncSession, principal: Principal, notebook_id: int) -> list[Definition]:
    await levels.require(session, principal, notebook_id, Level.RUNNER)
    return [parameters.definition_of(row) for row in await parameters.of_notebook(session, notebook_id)]


def _require_known(definitions: Iterable[Definition], names: Iterable[str]) -> None:
    """Raise :class:`ParameterInvalid` for a name that is none of the parameters: once, not for each set."""
    known = [definition.name for definition in definitions]
    has = ", ".join(known) or "none"
    why = f"is not one of the notebook's parameters; it has these: {has}"
    if wrong := [name for name in names if name not in known]:
        raise ParameterInvalid.of([ParameterInvalid(name, "unknown", why) for name in wrong])


def _plan(wanted: BatchFields, sets: Any, source: str, said: dict[str, Any], more: dict[str, Any]) -> BatchPlan:
    fields: dict[str, Any] = {
        "notebook_id": wanted.notebook_id,
        "sets": sets,
        "source": source,
        "plan": said,
        "username": wanted.username,
        "name": wanted.name,
        "how": wanted,
        "batch_limit": wanted.concurrency_limit,
        "in_order": wanted.in_order,
        "stop_after_failures": wanted.stop_after_failures,
        "fixed": wanted.parameters,
    }
    return BatchPlan(**(fields | more))
