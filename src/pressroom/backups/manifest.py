"""What a backup says of itself."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict

FORMAT = 1
NOT_IN_IT = (
    "notebook files and outputs (the users' folders and the shared roots)",
    "PRESSROOM_SECRET_KEY, without which sealed secrets cannot be used",
    "the service's settings, its certificates and its other secrets",
)
"""What a backup does not contain."""


class DumpFacts(BaseModel):
    """The dump beside the manifest."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str
    program: int
    """The major version of the ``pg_dump`` that wrote it: older ones cannot read it."""


class Manifest(BaseModel):
    """The facts of a backup."""

    model_config = ConfigDict(frozen=True)

    format: int
    version: str
    """Of Pressroom."""
    revision: str
    """Of the schema."""
    made_at: datetime
    server: int
    """The major version of the server."""
    counts: dict[str, int]
    """The rows of each table."""
    dump: DumpFacts
    not_in_it: tuple[str, ...] = NOT_IN_IT
