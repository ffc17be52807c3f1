"""Kernels on the wire."""

from pydantic import Field

from pressroom.wire import WireModel, example


class KernelStart(WireModel):
    """How kernels are started, and what that has cost."""

    forked: bool = Field(description="Whether a fork server starts them.")
    why_not: str | None = Field(description="Why the stock launcher starts them, where it does.")
    preloaded: list[str] = Field(description="The modules that the fork server has imported ahead.")
    refused: dict[str, str] = Field(description="Those that it has not, each with the reason.")
    memory_bytes: int | None = Field(
        description="The fork server's proportional share (PSS) of the memory that its kernels share; null while none "
        "is up."
    )
    forks: int = Field(description="How many kernels it has started.")


class KernelFacts(KernelStart):
    """What a worker tells of one kernel spec of its machine."""

    name: str
    language: str
    display_name: str


class KernelAtWorker(KernelStart):
    """A kernel at one worker. ``worker`` is null for a machine where none works, which `pressroom kernels list` tells
    of by itself."""

    worker: str | None
    host: str


_FORKED = {
    "forked": True,
    "why_not": None,
    "preloaded": ["matplotlib.pyplot", "pandas"],
    "refused": {"torch": "it starts threads that do not survive a fork"},
    "memory_bytes": 96_468_992,
    "forks": 1204,
}


class KernelOut(WireModel):
    """A kernel that notebooks can ask for by ``name``, at each living worker."""

    model_config = example(
        name="python3",
        language="python",
        display_name="Python 3",
        workers=[{"worker": "press-1", "host": "node-a"} | _FORKED],
    )
    name: str
    language: str
    display_name: str
    workers: list[KernelAtWorker]
