"""What can be told of the kernels of a press."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelReport:
    """How the kernels of one kernel spec are started, and what that has cost so far.

    ``forked``: by a fork server; else ``why_not`` says why the stock launcher starts them. ``preloaded``: the libraries
    that are loaded ahead; ``refused``: those that cannot be, each with the reason. ``memory_bytes``: the fork server's
    proportional share of memory (PSS), ``None`` while none is up. ``forks``: how many kernels were forked.
    """

    name: str
    language: str
    forked: bool
    why_not: str | None
    preloaded: tuple[str, ...]
    refused: dict[str, str]
    memory_bytes: int | None
    forks: int
