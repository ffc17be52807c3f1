"""The revisions of the schema that this version knows, and the one that a database is at: asked at each start, and so
without Alembic, whose import takes longer than all else of a command's start."""

from pathlib import Path

from sqlalchemy import Connection, text

SCRIPTS = Path(__file__).parent / "migrations"
"""Where the migrations are; each is named by its revision, and they are in their names' order."""


def known() -> set[str]:
    """Every revision that this version has."""
    return {script.name.partition("_")[0] for script in (SCRIPTS / "versions").glob("[0-9]*.py")}


def head() -> str:
    """The revision that this version needs."""
    return max(known())


def current(connection: Connection) -> str | None:
    """The revision that a database is at; ``None`` where nothing was ever migrated."""
    if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
        return None
    return connection.scalar(text("SELECT version_num FROM alembic_version"))


def unknown_revision(found: str) -> str:
    """Why a database at the revision ``found``, which this version does not have, cannot be used."""
    return (
        f"its schema is at revision {found}, which this version does not know: a later version has upgraded it, and "
        "there is no downgrade; use that version, or restore the copy that was made before"
    )
