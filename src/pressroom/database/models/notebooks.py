"""The registry: notebooks and the definitions of their parameters."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column, relationship

from pressroom.database.models.base import Base


class Notebook(Base):
    """A registered notebook."""

    __tablename__ = "notebooks"
    __table_args__ = (
        UniqueConstraint("name", "username"),
        Index("ix_notebooks_tags", "tags", postgresql_using="gin", postgresql_ops={"tags": "jsonb_path_ops"}),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), index=True)
    description: Mapped[str | None] = mapped_column(Text)
    file_path: Mapped[str] = mapped_column(String(512), unique=True)
    username: Mapped[str] = mapped_column(String(100), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())
    tags: Mapped[list[str] | None]
    metadata_: Mapped[dict[str, Any] | None] = mapped_column("metadata")

    # Beside the contract.
    execution_defaults: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"), default=dict)
    """What its executions are given where their caller does not say: queue, priority, time limit, retries, ..."""

    run_as: Mapped[str] = mapped_column(String(10), server_default="caller", default="caller")
    """Whose the executions are that somebody else starts who may: their own, ``caller``, or the ``owner``'s."""

    parameters: Mapped[list["Parameter"]] = relationship(
        order_by="Parameter.id", cascade="all, delete-orphan", passive_deletes=True, lazy="raise"
    )


class Parameter(Base):
    """The definition of one parameter of a notebook."""

    __tablename__ = "notebook_parameters"
    __table_args__ = (UniqueConstraint("notebook_id", "param_name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int] = mapped_column(ForeignKey("notebooks.id", ondelete="CASCADE"))
    param_name: Mapped[str] = mapped_column(String(100), index=True)
    param_type: Mapped[str] = mapped_column(String(50))
    default_value: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    description: Mapped[str | None] = mapped_column(Text)
    required: Mapped[int] = mapped_column(default=0)
    validation_rules: Mapped[dict[str, Any] | None]
    secret: Mapped[bool] = mapped_column(server_default=text("false"), default=False)
    """Beside the contract: its values are encrypted, and shown nowhere."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())
