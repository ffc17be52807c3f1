"""One notebook, executed from here: the shortest way to the press."""

import os
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from pressroom.press.events import Event
from pressroom.press.forking import open_folder
from pressroom.press.process import Press, Request, Stop


async def execute(
    notebook: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    kernel_name: str | None = None,
    *,
    cwd: str | os.PathLike[str] | None = None,
    timeout_seconds: float | None = None,
    memory_mb: int | None = None,
    cpu_seconds: float | None = None,
    max_processes: int | None = None,
    stop: Stop | None = None,
) -> AsyncGenerator[Event, None]:
    """Execute a notebook in the caller's environment: its events, the last of them ``Finished``, whatever happened.

    ``output``: where the executed notebook is written; without it, it is not kept. ``kernel_name``: the notebook's own
    if ``None``. ``cwd``: the kernel's working directory, else the notebook's folder. For the limits see
    :class:`Request`; ``stop`` ends it early. Nothing is raised for a notebook that fails. Where the iteration is given
    up, everything that was started is killed; close it for that, as ``aclosing`` does::

        import asyncio
        from contextlib import aclosing

        from pressroom.press import Finished, Output, execute


        async def main():
            async with aclosing(execute("report.ipynb", "out.ipynb", {"region": "EMEA"})) as events:
                async for event in events:
                    match event:
                        case Output(text=text):
                            print(text, end="")
                        case Finished(reason=None, seconds=seconds):
                            print(f"done in {seconds:.2f} s")
                        case Finished(reason=reason, message=message):
                            print(f"{reason}: {message}")


        asyncio.run(main())

    Raises ``OSError`` where ``cwd`` cannot be entered.
    """
    with tempfile.TemporaryDirectory(prefix="pressroom-") as scratch:
        folder = None if cwd is None else open_folder(cwd)
        try:
            request = Request(
                input_path=Path(notebook),
                output_path=Path(scratch, "out.ipynb") if output is None else Path(output),
                parameters=parameters or {},
                kernel_name=kernel_name,
                timeout_seconds=timeout_seconds,
                working_fd=folder,
                memory_mb=memory_mb,
                cpu_seconds=cpu_seconds,
                max_processes=max_processes,
            )
            begun = cast("AsyncGenerator[Event, None]", Press(dict(os.environ)).execute(request, stop))
            async with aclosing(begun) as events:
                async for event in events:
                    yield event
        finally:
            if folder is not None:
                os.close(folder)
