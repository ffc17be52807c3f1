"""Pruning: what of the history is deleted, and how.

An execution goes when it ended longer ago than asked and is not among the last of its notebook (its input file). Its
attempts, events and deliveries go with its row, and so does its output, if that lies under ``executions/`` beside the
input and nothing else names it: no other execution as its input or output, no registered notebook as its file. Its
artifact directory goes in any case, since that is its own alone. A batch that somebody began goes with the last of its
executions. The ticks of schedules go as long after they were decided, once they have no execution.

What one transaction deletes is called a batch here, too. Its outputs go before its rows are committed. Killed in
between, an execution is still listed whose output is gone, as if its user had deleted it; the next run finds it again
and finishes. The other way round, files would stay that nothing knows of. Artifact directories only get another name
while the rows are locked, and are taken away once those are gone, since there may be much in them; the chore that the
same transaction asks for (:mod:`~pressroom.executions.discarding`) takes away what is left by a kill in between.
"""

import asyncio
import logging
import os
import stat
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CursorResult,
    Delete,
    Text,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    tuple_,
)
from sqlalchemy import cast as cast_to
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased

from pressroom.database.models import (
    TERMINAL,
    Batch,
    Execution,
    ExecutionArtifact,
    ExecutionEvent,
    Notebook,
    ScheduleTick,
)
from pressroom.database.session import Database, driver_connection
from pressroom.errors import NotAllowed, NotFound, PathNotAllowed, PressroomError
from pressroom.executions import artifacts, discarding
from pressroom.executions.discarding import Attempt
from pressroom.executions.orders import OUTPUT_FOLDER
from pressroom.notebooks.places import Places

log = logging.getLogger("pressroom.executions")
BATCH = 1000
"""Executions that one transaction deletes."""
# Every question of a batch ends at the first row, or after a few, that an index gives; collecting all of them first, as
# the planner would for a notebook with a hundred thousand executions, takes seconds for each.
_SETTINGS = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),"
    " set_config('plan_cache_mode', 'force_custom_plan', true), set_config('jit', 'off', true)"
)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or would be: executions, their events, outputs and artifacts, the bytes in those, and ticks of
    schedules."""

    executions: int = 0
    events: int = 0
    files: int = 0
    bytes: int = 0
    ticks: int = 0

    def __add__(self, other: "Pruned") -> "Pruned":
        return Pruned(
            self.executions + other.executions,
            self.events + other.events,
            self.files + other.files,
            self.bytes + other.bytes,
            self.ticks + other.ticks,
        )


@dataclass(frozen=True, slots=True)
class _Rule:
    """What goes: what ended before ``ended_before``, but for the last ``keep_last`` executions of each input."""

    ended_before: datetime
    keep_last: int

    def doomed(self, row: type[Execution]) -> ColumnElement[bool]:
        goes = and_(row.status.in_(TERMINAL), row.completed_at < self.ended_before)
        if self.keep_last == 0:
            return goes
        newer = aliased(Execution)
        enough = (
            select(newer.id)
            .where(_digest(newer.input_path) == _digest(row.input_path), newer.input_path == row.input_path)
            .where(newer.id > row.id)  # in no order: one would have it look through all ids for the path
            .offset(self.keep_last - 1)
            .limit(1)
            .correlate(row)
        )
        return and_(goes, enough.exists())


@dataclass(frozen=True, slots=True)
class _Batch:
    """Executions that go in one transaction: their ids in order, the outputs that may go, with their users, and where
    there may be artifacts: the execution, its user, its output, its last attempt, and whether some are listed."""

    ids: list[int]
    outputs: list[tuple[int, str, str]]
    folders: list[tuple[int, str, str, int, bool]]


async def prune(
    database: Database,
    places: Places,
    older_than: timedelta,
    keep_last: int = 0,
    *,
    dry_run: bool = False,
    progress: Callable[[Pruned], None] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Pruned:
    """Delete what ended longer ago than ``older_than``, but for the last ``keep_last`` executions of each input.

    With ``dry_run`` nothing changes, and the answer is what would be deleted now. ``progress`` is called after each
    batch with the sum so far; where ``stopped`` says so, no further batch begins. An output that cannot be deleted
    (its folder is read-only, say) keeps its execution, which is tried again the next time.
    """
    async with database.transaction() as session:
        rule = _Rule((await session.execute(select(func.now() - older_than))).scalar_one(), keep_last)
    done, last = Pruned(), 0
    while not stopped():
        async with database.transaction() as session:
            await session.execute(_SETTINGS)
            batch = await _batch(session, rule, last)
            if not batch.ids:
                break
            doomed = list[Attempt]()
            part = await _delete(session, places, batch, rule, doomed, dry_run=dry_run)
            if doomed:
                await discarding.defer(await driver_connection(session), doomed)
        await asyncio.to_thread(discarding.discard, places, doomed)
        last = batch.ids[-1]
        done += part
        progress(done)
    while not stopped():
        async with database.transaction() as session:
            count = await _delete_ticks(session, rule, dry_run=dry_run)
        done += Pruned(ticks=count)
        if dry_run or count < BATCH:
            break
    return done


async def _batch(session: AsyncSession, rule: _Rule, last: int) -> _Batch:
    """The next executions that go, after the id ``last``, locked; and their outputs that nothing else names."""
    listed = exists(select(ExecutionArtifact.path).where(ExecutionArtifact.execution_id == Execution.id))
    wanted = select(Execution.id, Execution.username, Execution.input_path, Execution.output_path, Execution.attempt)
    wanted = wanted.add_columns(listed.label("listed"))
    wanted = wanted.where(Execution.id > last, rule.doomed(Execution)).order_by(Execution.id).limit(BATCH)
    # One that somebody is changing just now is left for the next time.
    rows = (await session.execute(wanted.with_for_update(of=Execution, skip_locked=True))).all()
    ids = [row.id for row in rows]
    beside = [row for row in rows if row.output_path and _is_beside(row.input_path, row.output_path)]
    left = [row for row in rows if row.output_path and row.attempt]
    folders = [(row.id, row.username, row.output_path, row.attempt, row.listed) for row in left]
    if not beside:
        return _Batch(ids, [], folders)
    named = await _named(session, rule, ids, [row.output_path for row in beside])
    # Several executions of a batch may name one output: it goes with the last of them.
    outputs = {row.output_path: (row.id, row.username, row.output_path) for row in beside}
    return _Batch(ids, [output for path, output in outputs.items() if path not in named], folders)


async def _named(session: AsyncSession, rule: _Rule, ids: Sequence[int], paths: Sequence[str]) -> set[str]:
    """Those of ``paths`` that are named by a registered notebook, or by an execution that this run does not delete up
    to this batch (an earlier batch of a dry run is still there, and does not count)."""
    given = func.unnest(cast_to(list(paths), ARRAY(Text)), type_=Text).column_valued("path")
    other = aliased(Execution)
    gone = and_(other.id <= ids[-1], rule.doomed(other))
    as_output = exists(select(other.id).where(other.output_path == given, not_(gone)))
    gone_before = and_(other.id < ids[0], rule.doomed(other))
    as_input = exists(
        select(other.id).where(
            _digest(other.input_path) == _digest(given), other.input_path == given, not_(gone_before)
        )
    )
    as_notebook = exists(select(Notebook.id).where(Notebook.file_path == given))
    return set((await session.scalars(select(given).where(or_(as_output, as_input, as_notebook)))).all())


async def _delete(
    session: AsyncSession, places: Places, batch: _Batch, rule: _Rule, doomed: list[Attempt], *, dry_run: bool
) -> Pruned:
    """Delete a batch; ``doomed`` gets the attempts whose artifacts are to be taken away after the commit."""
    held = set[int]() if dry_run else await asyncio.to_thread(_doom_folders, places, batch.folders, doomed)
    outputs = [output for output in batch.outputs if output[0] not in held]
    files, size, stuck = await asyncio.to_thread(_unlink, places, outputs, dry_run=dry_run)
    ids = [execution_id for execution_id in batch.ids if execution_id not in stuck | held]
    of_artifacts = select(func.count(), func.coalesce(func.sum(ExecutionArtifact.size), 0))
    of_artifacts = of_artifacts.where(ExecutionArtifact.execution_id == func.any(ids))
    more = (await session.execute(of_artifacts)).one()
    of_them = ExecutionEvent.execution_id == func.any(ids)
    ticks = 0
    if dry_run:
        of_ticks = select(func.count()).select_from(ScheduleTick).where(ScheduleTick.execution_id == func.any(ids))
        ticks = await session.scalar(of_ticks.where(ScheduleTick.at < rule.ended_before)) or 0
        events = await session.scalar(select(func.count()).select_from(ExecutionEvent).where(of_them))
    else:
        events = cast("CursorResult[Any]", await session.execute(delete(ExecutionEvent).where(of_them))).rowcount
        gone = delete(Execution).where(Execution.id == func.any(ids)).returning(Execution.batch_id)
        batches = {each for each in await session.scalars(gone.execution_options(synchronize_session=False)) if each}
        if batches:
            await session.execute(_without_executions(batches).execution_options(synchronize_session=False))
    return Pruned(len(ids), events or 0, files + int(more[0]), size + int(more[1]), ticks)


async def _delete_ticks(session: AsyncSession, rule: _Rule, *, dry_run: bool) -> int:
    """Delete some of the old ticks of schedules that have no execution any more, or never had one; how many."""
    old = (ScheduleTick.at < rule.ended_before, ScheduleTick.execution_id.is_(None))
    if dry_run:
        return await session.scalar(select(func.count()).select_from(ScheduleTick).where(*old)) or 0
    key = tuple_(ScheduleTick.schedule_id, ScheduleTick.scheduled_at)
    some = select(ScheduleTick.schedule_id, ScheduleTick.scheduled_at).where(*old).limit(BATCH)
    gone = delete(ScheduleTick).where(key.in_(some)).execution_options(synchronize_session=False)
    return cast("CursorResult[Any]", await session.execute(gone)).rowcount


def _doom_folders(places: Places, folders: list[tuple[int, str, str, int, bool]], doomed: list[Attempt]) -> set[int]:
    """Give artifact directories another name; the executions with listed artifacts where that is not possible."""
    held = set[int]()
    for execution_id, username, path, attempt, listed in folders:
        try:
            found = artifacts.doom(places, path, username, execution_id, attempt)
        except (NotFound, PathNotAllowed) as error:
            log.debug("the artifacts of execution %s are not there to delete: %s", execution_id, error)
        except (PressroomError, OSError) as error:
            what = "stays, since its artifacts" if listed else "goes, though artifacts that it may have left"
            log.warning("execution %s %s cannot be deleted: %s", execution_id, what, error)
            held |= {execution_id} if listed else set()
        else:
            doomed += [Attempt(path, username, execution_id, attempt)] if found else []
    return held


def _without_executions(batches: Collection[int]) -> Delete:
    """The deletion of those batches whose last execution is gone."""
    left = exists(select(Execution.id).where(Execution.batch_id == Batch.id))
    return delete(Batch).where(Batch.id == func.any(list(batches)), not_(left))


def _unlink(places: Places, outputs: list[tuple[int, str, str]], *, dry_run: bool) -> tuple[int, int, set[int]]:
    """Delete outputs: how many there were, their bytes, and the executions whose output could not be deleted."""
    # What is written from now on is the output of an execution that was submitted since the database was asked.
    asked = time.time()
    files, size, stuck = 0, 0, set[int]()
    for execution_id, username, path in outputs:
        try:
            place = places.stored(path, username)
            with place.parent.in_directory() as folder:
                found = os.stat(place.name, dir_fd=folder, follow_symlinks=False)
                if not stat.S_ISREG(found.st_mode):
                    continue
                if found.st_mtime > asked:
                    raise NotAllowed(f"{path} is being written just now.")
                if not dry_run:
                    os.unlink(place.name, dir_fd=folder)
        except (NotFound, PathNotAllowed, FileNotFoundError) as error:
            log.debug("the output of execution %s is not there to delete: %s", execution_id, error)
            continue
        except (PressroomError, OSError) as error:
            log.warning("execution %s stays, since its output cannot be deleted: %s", execution_id, error)
            stuck.add(execution_id)
            continue
        files, size = files + 1, size + found.st_size
    return files, size, stuck


def _is_beside(input_path: str, output_path: str) -> bool:
    return Path(output_path).parent == Path(input_path).parent / OUTPUT_FOLDER


def _digest(path: Any) -> Any:
    """The hash of a path that the index of inputs holds."""
    return func.hashtextextended(path, text("0"))
