"""What an attempt records: results and artifacts, held by its worker until its end writes them, in the same
transaction. So they are those of the last attempt, whole or not at all."""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pressroom.database.session import Connection
from pressroom.executions.artifacts import Artifact, Bounds, listed
from pressroom.notebooks.places import Location
from pressroom.press import Event, Result

log = logging.getLogger("pressroom.executions")
# Only whoever has locked the row of a current attempt sends this.
_WRITE = """
WITH small AS (
    UPDATE notebook_executions SET results = %(values)s::jsonb WHERE id = %(id)s
), large AS (
    INSERT INTO execution_results (execution_id, name, kind, media_type, data)
    SELECT %(id)s, * FROM unnest(%(names)s::text[], %(kinds)s::text[], %(types)s::text[], %(data)s::bytea[])
)
INSERT INTO execution_artifacts (execution_id, path, size, media_type)
SELECT %(id)s, * FROM unnest(%(paths)s::text[], %(sizes)s::bigint[], %(file_types)s::text[])
"""


class Recorded:
    """What one attempt has recorded so far: ``results`` by name, each name's last, and ``artifacts``."""

    def __init__(self) -> None:
        self.results: dict[str, Result] = {}
        self.artifacts: tuple[Artifact, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.results or self.artifacts)

    def take(self, event: Event) -> None:
        """Note an event, where it is a result."""
        if isinstance(event, Result):
            self.results[event.name] = event

    def look(self, directory: Location, folder: int, bounds: Bounds, secret: Mapping[str, Any]) -> str:
        """Note what is in the artifact directory, by the open folder that holds it, but for names that hold a
        ``secret`` value; what is to be said of entries that are left out. Blocks on the file system: call it in a
        thread."""
        listing = listed(directory, folder, bounds, secret)
        self.artifacts = listing.files
        return bounds.sentence(listing)

    def forget(self) -> None:
        """Leave everything out, since it cannot be written."""
        if self:
            log.error("%s results and %s artifacts are not written", len(self.results), len(self.artifacts))
        self.results, self.artifacts = {}, ()

    async def write(self, connection: Connection, execution_id: int) -> None:
        """Write everything, in the transaction in which the execution's row is locked and its end is written."""
        await connection.execute(_WRITE, {"id": execution_id, **_columns(self.results.values(), self.artifacts)})


def _columns(results: Iterable[Result], artifacts: Iterable[Artifact]) -> dict[str, Any]:
    small = {result.name: result.value for result in results if result.data is None}
    large = [result for result in results if result.data is not None]
    return {
        "values": json.dumps(small) if small else None,
        "names": [result.name for result in large],
        "kinds": [result.result_kind for result in large],
        "types": [result.media_type for result in large],
        "data": [result.data for result in large],
        "paths": [artifact.path for artifact in artifacts],
        "sizes": [artifact.size for artifact in artifacts],
        "file_types": [artifact.media_type for artifact in artifacts],
    }
