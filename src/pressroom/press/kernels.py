"""The kernels of this machine."""

import asyncio
import time

from jupyter_client.kernelspec import KernelSpecManager

KERNELS_FOR_SECONDS = 10.0
"""How long the list of kernel specs is taken as it was: looking reads many folders."""


class Kernels:
    """The kernel specs of this machine, looked up in a thread and remembered for a few seconds."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._looked = float("-inf")

    async def names(self) -> list[str]:
        """Their names."""
        if time.monotonic() - self._looked > KERNELS_FOR_SECONDS:
            self._names = sorted(await asyncio.to_thread(KernelSpecManager().find_kernel_specs))
            self._looked = time.monotonic()
        return self._names
