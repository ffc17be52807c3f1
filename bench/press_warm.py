"""One way to execute notebooks, warm, in a process of its own: ``press_warm.py press|papermill|nbclient|ploomber``.

It says when it is ready. Then each line of its standard input is a job, ``{"input": ..., "output": ..., "parameters":
{...}}``, and each line of its standard output the answer to one: the ``seconds`` that it took, or the ``error``. The
press and nbclient begin a job as soon as they read it, the others when the one before has ended. It ends with its
standard input.
"""

import asyncio
import json
import os
import sys
import time
import traceback
from pathlib import Path

PRELOAD = ("numpy", "pandas", "matplotlib.pyplot")


def papermill():
    import papermill  # noqa: PLC0415

    def execute(source, target, parameters):
        papermill.execute_notebook(source, target, parameters=parameters, progress_bar=False, cwd=Path(source).parent)

    return execute


def ploomber():
    from ploomber_engine import execute_notebook  # noqa: PLC0415

    def execute(source, target, parameters):
        given = parameters or None  # it inserts a cell for none at all
        execute_notebook(source, target, parameters=given, progress_bar=False, cwd=Path(source).parent)

    return execute


def nbclient():
    import nbformat  # noqa: PLC0415
    from nbclient import NotebookClient  # noqa: PLC0415

    async def execute(source, target, _):
        notebook = nbformat.read(source, as_version=4)
        resources = {"metadata": {"path": str(Path(source).parent)}}
        await NotebookClient(notebook, kernel_name="python3", resources=resources).async_execute()
        nbformat.write(notebook, target)

    async def close():
        pass

    return execute, close


def press():
    from pressroom.press import Finished, Press, Request  # noqa: PLC0415
    from pressroom.press.environment import kernel_environment  # noqa: PLC0415

    ours = Press(environment=kernel_environment(os.environ), preload=PRELOAD)

    async def execute(source, target, parameters):
        event = None
        async for told in ours.execute(Request(Path(source), Path(target), parameters)):
            event = told
        assert isinstance(event, Finished), f"the last event was {event}"
        assert event.reason is None, f"{event.reason}: {event.message}"
        assert event.written, "no output was written"

    return execute, ours.close


def in_turn(execute, jobs, answer):
    answer({"ready": True})
    for line in jobs:
        job = json.loads(line)
        began = time.perf_counter()
        try:
            execute(job["input"], job["output"], job["parameters"])
        except Exception:  # noqa: BLE001 - whoever asked says it
            answer({"error": traceback.format_exc()})
        else:
            answer({"seconds": time.perf_counter() - began})


async def at_once(opened, jobs, answer):
    execute, close = opened()

    async def serve(job):
        began = time.perf_counter()
        try:
            await execute(job["input"], job["output"], job["parameters"])
        except Exception:  # noqa: BLE001 - whoever asked says it
            answer({"error": traceback.format_exc()})
        else:
            answer({"seconds": time.perf_counter() - began})

    answer({"ready": True})
    async with asyncio.TaskGroup() as tasks:
        while line := await asyncio.to_thread(jobs.readline):
            tasks.create_task(serve(json.loads(line)))
    await close()


def main(name):
    # What a notebook prints in this process must not go among the answers, and no kernel may read the jobs.
    with os.fdopen(os.dup(0)) as jobs, os.fdopen(os.dup(1), "w") as answers:
        with Path(os.devnull).open("r+b") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(nothing.fileno(), 1)

        def answer(what):
            answers.write(json.dumps(what) + "\n")
            answers.flush()

        match name:
            case "papermill":
                in_turn(papermill(), jobs, answer)
            case "ploomber":
                in_turn(ploomber(), jobs, answer)
            case "nbclient":
                asyncio.run(at_once(nbclient, jobs, answer))
            case "press":
                asyncio.run(at_once(press, jobs, answer))


if __name__ == "__main__":
    main(sys.argv[1])
