"""The workers, and whose turn it is."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    String,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class ExecutionTurn(Base):
    """When a user's execution was last started in a queue, as a number that grows: users take turns by it."""

    __tablename__ = "execution_turns"

    queue: Mapped[str] = mapped_column(String(100), primary_key=True)
    username: Mapped[str] = mapped_column(String(100), primary_key=True)
    turn: Mapped[int] = mapped_column(BigInteger)


class Worker(Base):
    """A worker process, beside its row in ``procrastinate_workers``, which holds its heartbeat."""

    __tablename__ = "workers"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(255))
    host: Mapped[str] = mapped_column(String(255))
    process_id: Mapped[int]
    queues: Mapped[list[str] | None]
    """``None`` for every queue."""
    concurrency: Mapped[int]
    version: Mapped[str] = mapped_column(String(50))
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    kernels: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB(none_as_null=True))
    """What it told last of its kernels; ``None`` before the first time."""
