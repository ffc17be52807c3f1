"""``pressroom submit``: put an execution into the queue, for a worker or the service to run."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from pydantic import TypeAdapter

from pressroom.cli import limits
from pressroom.cli.following import follow_to_end
from pressroom.cli.pairs import given_once
from pressroom.cli.room import WRONG, Room, absolute, complain, explained, in_room, out
from pressroom.cli.secrets import Secrets, asked
from pressroom.cli.shown import Shown, exit_code
from pressroom.cli.times import span
from pressroom.executions import service
from pressroom.executions.connector import open_jobs
from pressroom.executions.options import HowToExecute, Key
from pressroom.executions.orders import Intake, Order
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.states import RetryOn
from pressroom.notebooks.files import ValidFiles
from pressroom.notebooks.places import Places
from pressroom.settings import MEBIBYTE

_KEY = TypeAdapter(dict[str, Key])


def submit(
    notebook: Annotated[str, typer.Argument(help="The notebook.")],
    parameters: Annotated[
        list[str] | None, typer.Option("-p", "--parameter", metavar="NAME VALUE", help="Give a parameter.")
    ] = None,
    secret: Secrets = None,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", help="Where the executed notebook goes; else under executions/ beside the input."
        ),
    ] = None,
    kernel: Annotated[str | None, typer.Option("-k", "--kernel", help="The kernel; else the notebook's own.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Time limit of an attempt in seconds.", min=0.001)] = None,
    memory_mb: limits.MemoryMb = None,
    cpu_seconds: limits.CpuSeconds = None,
    max_processes: limits.MaxProcesses = None,
    username: Annotated[str | None, typer.Option("--user", help="Whom to act as; else whose file it is.")] = None,
    queue: Annotated[str | None, typer.Option(help="The queue to wait in; else `default`.")] = None,
    priority: Annotated[int | None, typer.Option(help="Higher ones start first.", min=-1000, max=1000)] = None,
    max_attempts: Annotated[int | None, typer.Option(help="How often it is tried at most.", min=1, max=100)] = None,
    retry_on: Annotated[
        list[RetryOn] | None,
        typer.Option(help="After which ends it is tried again; may be given several times."),
    ] = None,
    expires_in: Annotated[
        timedelta | None,
        typer.Option(parser=span, metavar="SPAN", help="Cancel it if it has not started so long from now: 2h, 30m."),
    ] = None,
    late_after: Annotated[
        timedelta | None,
        typer.Option(parser=span, metavar="SPAN", help="Tell that it is late if it has not ended so long from now."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="An idempotency key: the same key and options give the same execution, not another."),
    ] = None,
    *,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the notebook by the executed one.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end, and exit as `pressroom run` does.")] = False,
    log: Annotated[bool, typer.Option("--log", help="With --wait: show what the cells put out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer the execution as JSON.")] = False,
) -> None:
    """Put an execution into the queue and print its id; a worker or the service executes it.

    The notebook must lie where workers may read: under a user's directory or a shared root. Ctrl-C with --wait ends
    the waiting only; the execution goes on. Exits with 0 where it was accepted, 2 where it was refused; with --wait
    as it ends: 0 for a success, 1 for a failure, 130 for a cancellation or after Ctrl-C.
    """
    given = given_once(parameters)
    if in_place and output:
        complain("Give either --in-place or --output.")
        raise typer.Exit(WRONG)
    wanted = {
        "kernel_name": kernel,
        "timeout_seconds": timeout,
        "queue": queue,
        "priority": priority,
        "max_attempts": max_attempts,
        "retry_on": retry_on or None,
        "late_after_seconds": late_after.total_seconds() if late_after is not None else None,
        **limits.said(memory_mb, cpu_seconds, max_processes),
    }
    if key is not None:
        explained(lambda: _KEY.validate_python({"key": key}))
    said = {name: value for name, value in wanted.items() if value is not None}
    target = absolute(output) if output else None
    secrets = asked(secret, given)
    given |= secrets
    # What is to happen within a time from now is the same request a moment later.
    seconds = expires_in.total_seconds() if expires_in is not None else None
    request = ["submit", absolute(notebook), target, username, given, in_place, said, seconds]

    async def work(room: Room) -> ExecutionOut:
        expires_at = datetime.now(UTC) + expires_in if expires_in is not None else None
        how = HowToExecute.model_validate(said | {"expires_at": expires_at})
        hidden = frozenset(secrets)
        order = Order(given, absolute(notebook), None, username, target, in_place, how, lenient=True, hidden=hidden)
        once = service.Once(key, service.digests_of(room.settings, request)) if key is not None else None
        execution = await _accepted(room, order, once)
        if not wait:
            return execution
        return await follow_to_end(room, execution.id, shown)

    shown = Shown(as_json=json, log=log)
    execution = in_room(work)
    if json:
        out(execution.model_dump_json(indent=2))
    elif wait:
        shown.conclude(execution)
    else:
        out(str(execution.id))
    if wait:
        raise typer.Exit(exit_code(execution.status))


async def _accepted(room: Room, order: Order, once: service.Once | None) -> ExecutionOut:
    """The execution of an order. A worker executes it, so the order is checked by a worker's rights on files."""
    settings = room.settings
    places = Places.of(settings)
    async with open_jobs(room.database) as jobs, room.change("submit", "execute_a_notebook") as (session, told):
        intake = Intake(places, settings, jobs, ValidFiles(int(settings.max_notebook_mb * MEBIBYTE)))
        if once is not None:
            [execution_id] = await service.submit_once(session, intake, room.caller, [order], once)
        else:
            [execution_id] = await service.submit(session, intake, room.caller, [order])
        told["execution_ids"] = [execution_id]
        return ExecutionOut.model_validate(await service.get(session, execution_id))
