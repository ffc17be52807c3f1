"""``pressroom backup`` and ``pressroom restore``: the database, as a file."""

import signal
from pathlib import Path
from typing import Annotated

import typer

from pressroom.backups import making, restoring
from pressroom.backups.manifest import Manifest
from pressroom.cli.room import Room, absolute, explained, in_room, out
from pressroom.cli.start import CANCELLED
from pressroom.cli.whole_database import whole_database
from pressroom.settings import MEBIBYTE

Json = Annotated[bool, typer.Option("--json", help="Answer JSON: the backup's manifest.")]


def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file to make, which must not be there yet.")],
    *,
    json: Json = False,
) -> None:
    """Copy the database into a file, whole or not at all, while everything goes on.

    It holds every table, with sealed secrets and tokens' hashes, so it is for its owner alone to read. It does not hold
    notebooks, outputs, or PRESSROOM_SECRET_KEY.
    """
    path = Path(absolute(file))
    # As Ctrl-C does: what is half written is taken away. No spinner turns meanwhile: its thread may be the one to get
    # the signal, and this one would read on.
    signal.signal(signal.SIGTERM, _leave)

    def work() -> Manifest:
        with whole_database() as url:
            return making.back_up(url, path)

    made = explained(work)
    size = f"{path.stat().st_size / MEBIBYTE:,.1f} MiB"
    _say(made, f"Backed up into {path}, {size}: {_rows(made)}.", as_json=json)


def restore(
    file: Annotated[str, typer.Argument(metavar="FILE", help="The file that `pressroom backup` made.")],
    *,
    verify: Annotated[bool, typer.Option("--verify", help="Only look whether the file is whole.")] = False,
    json: Json = False,
) -> None:
    """Restore the database from a file into an empty one, in one transaction, and upgrade its schema.

    Stop the service and the workers first. A database with anything in it is refused.
    """
    path = Path(absolute(file))
    found = explained(lambda: restoring.verified(path))
    if verify:
        _say(found.manifest, f"{path} is whole: {_rows(found.manifest)}.", as_json=json)
        return
    signal.signal(signal.SIGTERM, _leave)

    def work() -> Manifest:
        with whole_database() as url:
            return restoring.restore(url, found)

    restored = explained(work)

    async def note(room: Room) -> None:
        async with room.change("restore", "restore") as (_, told):
            told |= {"file": str(path), "made_at": restored.made_at.isoformat()}

    in_room(note)
    _say(restored, f"Restored from {path}: {_rows(restored)}.", as_json=json)


def _rows(manifest: Manifest) -> str:
    executions = manifest.counts.get("notebook_executions", 0)
    rows = (
        f"{sum(manifest.counts.values()):,} rows in {len(manifest.counts)} tables, {executions:,} executions among them"
    )
    made = f"made at {manifest.made_at:%Y-%m-%d %H:%M:%S} UTC by Pressroom {manifest.version}"
    return f"{rows}, at revision {manifest.revision}, {made}"


def _say(manifest: Manifest, sentence: str, *, as_json: bool) -> None:
    if as_json:
        out(manifest.model_dump_json(indent=2))
        return
    out(sentence)
    out("Not in it: " + "; ".join(manifest.not_in_it) + ".")


def _leave(*_: object) -> None:
    raise typer.Exit(CANCELLED)
