"""``pressroom run``: execute a notebook here and now, and record it."""

import asyncio
import signal
from typing import Annotated

import typer

from pressroom.cli import limits
from pressroom.cli.pairs import given_once
from pressroom.cli.room import WRONG, Room, absolute, complain, explained, in_room, out
from pressroom.cli.secrets import Secrets, asked
from pressroom.cli.shown import Shown, exit_code
from pressroom.database.models import Execution
from pressroom.errors import AlreadyEnded, Unavailable
from pressroom.executions import service
from pressroom.executions.following import open_following
from pressroom.executions.options import HowToExecute
from pressroom.executions.orders import Order, own_queue
from pressroom.executions.schemas import ExecutionOut
from pressroom.executions.tasks import Workshop
from pressroom.metrics import Metrics
from pressroom.worker import Staffing, open_crew


def run(
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
    timeout: Annotated[float | None, typer.Option(help="Time limit in seconds.", min=0.001)] = None,
    memory_mb: limits.MemoryMb = None,
    cpu_seconds: limits.CpuSeconds = None,
    max_processes: limits.MaxProcesses = None,
    *,
    in_place: Annotated[bool, typer.Option("--in-place", help="Replace the notebook by the executed one.")] = False,
    log: Annotated[
        bool, typer.Option("--log", help="Show what the cells put out, in place of a progress bar.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Answer the execution as JSON, without a progress bar.")] = False,
) -> None:
    """Execute a notebook and record it in the history.

    Exits with 0 where the notebook succeeded, 1 where it failed, 2 where nothing was run, 130 after Ctrl-C.
    """
    given = given_once(parameters)
    if in_place and output:
        complain("Give either --in-place or --output.")
        raise typer.Exit(WRONG)
    secrets = asked(secret, given)
    wanted = {"kernel_name": kernel, "timeout_seconds": timeout} | limits.said(memory_mb, cpu_seconds, max_processes)
    order = Order(
        input_path=absolute(notebook),
        output_path=absolute(output) if output else None,
        parameters=given | secrets,
        in_place=in_place,
        # A queue of its own: it is executed here, by nobody else, and goes with this command.
        how=explained(lambda: HowToExecute.model_validate(wanted)),
        private_queue=own_queue(),
        lenient=True,
        hidden=frozenset(secrets),
    )
    shown = Shown(as_json=json, log=log)
    execution = ExecutionOut.model_validate(in_room(lambda room: _run(room, order, shown)))
    if json:
        out(execution.model_dump_json(indent=2))
    else:
        shown.conclude(execution)
    raise typer.Exit(exit_code(execution.status))


async def _run(room: Room, order: Order, shown: Shown) -> Execution:
    queue = str(order.private_queue)
    shop = Workshop(room.database, room.places, room.settings, Metrics(room.settings.worker_lost_seconds))
    staffing = Staffing(1, queues=[queue], name=queue, grace_seconds=0, chores=False)
    async with (
        open_following(room.database) as following,
        open_crew(shop, staffing, lambda _, event: shown.take(event)) as crew,
    ):
        async with room.change("run", "execute_a_notebook") as (session, told):
            [execution_id] = await service.submit(session, room.intake(crew.jobs), room.caller, [order])
            told["execution_ids"] = [execution_id]
        stopping: set[asyncio.Task[None]] = set()

        async def cancel() -> None:
            try:
                async with room.change("run", "cancel_an_execution") as (session, told):
                    told["execution_ids"] = [execution_id]
                    await service.cancel(session, room.intake(crew.jobs), room.caller, execution_id)
            except AlreadyEnded:
                return
            except Unavailable as error:
                complain(f"It goes on, since it could not be cancelled; try again. {error.detail}")

        def stop() -> None:
            stopping.add(asyncio.create_task(cancel()))

        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop)
        followed = asyncio.create_task(following.wait(execution_id))
        crewed = asyncio.create_task(crew.wait())
        try:
            with shown.progress:
                await asyncio.wait({followed, crewed}, return_when=asyncio.FIRST_COMPLETED)
            if not followed.done():
                crewed.result()
            followed.result()
        finally:
            for task in (followed, crewed, *stopping):
                task.cancel()
            await asyncio.gather(followed, crewed, *stopping, return_exceptions=True)
        for task in stopping:
            if not task.cancelled():
                task.result()
    async with room.database.transaction() as session:
        return await service.get(session, execution_id)
