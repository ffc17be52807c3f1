"""Which modules a worker's fork servers import ahead: those of the setting, or those that notebooks import."""

import asyncio
import logging
from collections.abc import Iterator, Sequence

from pressroom.errors import NotebookInvalid, PressroomError
from pressroom.executions.tasks import Workshop
from pressroom.notebooks import imports, service
from pressroom.notebooks.places import Places
from pressroom.press import Press
from pressroom.settings import AUTO, MEBIBYTE

LOOK_SECONDS = 60.0
"""Between two looks for notebooks that have been registered or changed."""
MOST_PACKAGES = 20
MOST_NOTEBOOKS = 200
"""Of those registered, the ones that were changed last are read."""
MOST_BYTES = 4 * MEBIBYTE
"""Of one notebook; a larger one is left out."""
MOST_BYTES_IN_ALL = 64 * MEBIBYTE
log = logging.getLogger("pressroom.kernels")


class Preloading:
    """Tells a press what to preload while its worker works. Notebooks are read, and never executed, to know it."""

    def __init__(self, shop: Workshop, press: Press) -> None:
        self._database, self._places, self._wanted = shop.database, shop.places, shop.settings.preload
        self._press = press
        self._seen: Sequence[object] | None = None
        self._modules: list[str] = []

    async def run(self) -> None:
        """Tell what the setting says; where that is ``auto``, look again for ever."""
        if self._wanted != AUTO:
            self._press.preload(self._wanted)
            return
        while True:
            try:
                await self.look()
            except PressroomError as error:
                log.warning("the registered notebooks cannot be seen: %s", error.detail)
            except Exception:  # without it executions begin slower, and that is all
                log.exception("what the registered notebooks import could not be found")
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read the notebooks, if any was registered, changed or deleted since the last time."""
        async with self._database.transaction() as session:
            notebooks = await service.changed_last(session, MOST_NOTEBOOKS)
        if notebooks == self._seen:
            return
        files = [(path, username) for path, username, _ in notebooks]
        modules = await asyncio.to_thread(most_imported, self._places, files)
        self._seen = notebooks
        if modules != self._modules:
            log.info("notebooks import %s; fork servers do so ahead", ", ".join(modules) or "no library")
            self._modules = modules
            self._press.preload(modules)


def most_imported(places: Places, files: Sequence[tuple[str, str]]) -> list[str]:
    """The modules that notebooks, by path and owner, import most. Blocks on the file system."""
    return imports.most_imported(_imports(places, files), MOST_PACKAGES)


def _imports(places: Places, files: Sequence[tuple[str, str]]) -> Iterator[set[str]]:
    left = MOST_BYTES_IN_ALL
    for path, username in files:
        most = min(MOST_BYTES, left)
        try:
            place = places.locate(path, username)
            data = place.read(most)
        except PressroomError as error:  # moved away since it was registered, or too large: it counts for nothing
            left -= most if isinstance(error, NotebookInvalid) else 0
            continue
        left -= len(data)
        names = imports.imported_by(data)
        yield names - imports.beside(place.path.parent, names)
