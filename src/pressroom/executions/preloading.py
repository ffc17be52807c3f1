"""Which modules a worker's fork servers import ahead: those of the setting, or those that notebooks import."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from pressroom.errors import NotebookInvalid, PressroomError
from pressroom.executions.tasks import Workshop
from pressroom.notebooks import imports, service
from pressroom.notebooks.places import Places
from pressroom.press import Press
from pressroom.settings import AUTO, MEBIBYTE, USER

LOOK_SECONDS = 60.0
"""Between two looks for notebooks that have been registered or changed."""
MOST_PACKAGES = 20
MOST_NOTEBOOKS = 200
"""Of those registered, the ones that were changed last are read."""
MOST_BYTES = 4 * MEBIBYTE
"""Of one notebook; a larger one is left out."""
MOST_BYTES_AT_ONCE = 64 * MEBIBYTE
"""Read in one look; what is not read then is read when there is something new again."""
Change = tuple[str, str, datetime]
"""A notebook's path, its owner, and when its registration was changed last."""
log = logging.getLogger("pressroom.kernels")


class Preloading:
    """Tells a press what to preload while its worker works. Notebooks are read, and never executed, to know it."""

    def __init__(self, shop: Workshop, press: Press) -> None:
        self._database, self._places, self._wanted = shop.database, shop.places, shop.settings.preload
        self._press = press
        # A fork server is root there, and who writes a notebook is not.
        self._only_well_known = shop.settings.run_as == USER
        self._seen: list[Change] = []
        self._imported: dict[Change, set[str]] = {}
        self._modules: list[str] = []

    async def run(self) -> None:
        """Tell what the setting says; where that is ``auto``, look again for ever."""
        if self._wanted != AUTO:
            self._tell(self._wanted)
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
        """Read what was registered or changed since the last time, and tell what notebooks import now."""
        async with self._database.transaction() as session:
            seen = await service.changed_last(session, MOST_NOTEBOOKS)
        if seen == self._seen:
            return
        new = [change for change in seen if change not in self._imported]
        known = self._imported | await asyncio.to_thread(imported, self._places, new)
        self._seen, self._imported = seen, {change: known[change] for change in seen if change in known}
        named = self._imported.values()
        if self._only_well_known:
            named = map(imports.well_known, named)
        modules = imports.most_imported(named, MOST_PACKAGES)
        if modules != self._modules:
            log.info("notebooks import %s; fork servers do so ahead", ", ".join(modules) or "no library")
            self._modules = modules
            self._tell(modules)

    def _tell(self, modules: Sequence[str]) -> None:
        try:
            self._press.preload(modules)
        except ValueError as error:  # it was made elsewhere, and its fork servers are not its own
            log.warning("%s cannot be preloaded: %s", ", ".join(modules) or "nothing", error)


def imported(places: Places, notebooks: Sequence[Change]) -> dict[Change, set[str]]:
    """The libraries that notebooks import: as many of them as may be read at once. Blocks on the file system."""
    found: dict[Change, set[str]] = {}
    left = MOST_BYTES_AT_ONCE
    for change in notebooks:
        if left < MOST_BYTES:
            break
        path, username, _ = change
        try:
            place = places.stored(path, username)
            data = place.read(MOST_BYTES)
            left -= len(data)
            names = imports.imported_by(data)
            with place.as_account():
                found[change] = names - imports.beside(place.path.parent, names)
        except (PressroomError, OSError) as error:
            # Moved away since it was registered, too large, on a disk that is away: it counts for nothing.
            found[change] = set()
            left -= MOST_BYTES if isinstance(error, NotebookInvalid) else 0
    return found
