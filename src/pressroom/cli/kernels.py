"""``pressroom kernels``: which kernels there are, and how they are started."""

import asyncio
import socket
from typing import Annotated

import typer
from pydantic import BaseModel

from pressroom.cli.room import complain, explained, open_room
from pressroom.cli.tables import show_rows
from pressroom.errors import Unavailable
from pressroom.executions import staff
from pressroom.executions.kernel_news import kernels_of
from pressroom.executions.kernel_schemas import KernelOut
from pressroom.executions.tasks import press_of
from pressroom.settings import MEBIBYTE, Settings

app = typer.Typer(help="The kernels that notebooks can ask for.", no_args_is_help=True)
COLUMNS = ("name", "display_name", "language", "worker", "forked", "why_not", "preloaded", "refused", "memory", "forks")


@app.callback()
def kernels() -> None:
    """The kernels that notebooks can ask for."""


@app.command("list")
def list_(*, json: Annotated[bool, typer.Option("--json", help="Answer JSON.")] = False) -> None:
    """List the kernels: at each worker, whether a fork server starts them or why not, which libraries it has loaded,
    its memory, and how many it started. Where no worker works on this machine, what is known of the machine itself."""
    found = explained(lambda: asyncio.run(_found()))
    rows = found if json else [row for kernel in found for row in _rows(kernel)]
    show_rows(rows, COLUMNS, as_json=json, empty="No kernel is installed; `pip install ipykernel` brings one.")


async def _found() -> list[KernelOut]:
    settings = Settings()
    told: list[KernelOut] = []
    try:
        async with open_room() as room, room.database.transaction() as session:
            told = await staff.kernels(session, settings.worker_lost_seconds)
    except Unavailable as error:
        complain(f"{error.detail} What follows is of this machine alone.")
    here = socket.gethostname()
    if any(at.host == here for kernel in told for at in kernel.workers):
        return told
    press = press_of(settings)
    try:
        return staff.with_kernels(told, None, here, await kernels_of(press))
    finally:
        await press.close()


class _Row(BaseModel):
    name: str
    display_name: str
    language: str
    worker: str
    forked: str
    why_not: str | None
    preloaded: list[str]
    refused: dict[str, str]
    memory: str | None
    forks: int


def _rows(kernel: KernelOut) -> list[_Row]:
    return [
        _Row(
            name=kernel.name,
            display_name=kernel.display_name,
            language=kernel.language,
            worker=at.worker or f"none on {at.host}",
            forked="yes" if at.forked else "no",
            why_not=at.why_not,
            preloaded=at.preloaded,
            refused=at.refused,
            memory=f"{at.memory_bytes / MEBIBYTE:.0f} MiB" if at.memory_bytes is not None else None,
            forks=at.forks,
        )
        for at in kernel.workers
    ]
