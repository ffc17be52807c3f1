"""Options that say what an execution may use at most."""

from typing import Annotated, Any

import typer

MemoryMb = Annotated[
    int | None, typer.Option("--memory-mb", help="Memory of the kernel and what it starts, in MiB, at most.")
]
CpuSeconds = Annotated[
    float | None, typer.Option("--cpu-seconds", help="Processor time of the kernel and what it starts, at most.")
]
MaxProcesses = Annotated[int | None, typer.Option("--max-processes", help="Processes and threads at once, at most.")]


def said(memory_mb: int | None, cpu_seconds: float | None, max_processes: int | None) -> dict[str, Any]:
    """Those that were given, by the names that requests have for them."""
    given = {"memory_mb": memory_mb, "cpu_seconds": cpu_seconds, "max_processes": max_processes}
    return {name: value for name, value in given.items() if value is not None}
