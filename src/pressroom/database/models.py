"""The tables, typed.

The contract's tables are ``notebooks``, ``notebook_parameters`` and ``notebook_executions``; columns that are not in it
are marked "beside the contract". ``execution_counts`` holds the totals of the history (see :class:`ExecutionCount`).
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, ForeignKey, Identity, Index, MetaData, String, Text, UniqueConstraint, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

TERMINAL = ("success", "failed", "cancelled")


class Base(DeclarativeBase):
    """The base of every table."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: JSONB,
    }


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
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.clock_timestamp())


class Execution(Base):
    """One execution of a notebook, registered or not."""

    __tablename__ = "notebook_executions"
    __table_args__ = (
        # A page of history walks one of these backwards, newest first. The first column alone serves as its index.
        Index("ix_notebook_executions_username_id", "username", "id"),
        Index("ix_notebook_executions_status_id", "status", "id"),
        Index("ix_notebook_executions_notebook_id_id", "notebook_id", "id"),
        # Two executions that are under way never write to the same file.
        Index(
            "uq_notebook_executions_output_path_under_way",
            "output_path",
            unique=True,
            postgresql_where="status IN ('pending', 'running')",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    notebook_id: Mapped[int | None] = mapped_column(ForeignKey("notebooks.id", ondelete="SET NULL"))
    username: Mapped[str] = mapped_column(String(100))
    input_path: Mapped[str] = mapped_column(String(512))
    output_path: Mapped[str | None] = mapped_column(String(512))
    parameters_used: Mapped[dict[str, Any] | None]
    status: Mapped[str] = mapped_column(String(50))
    error_message: Mapped[str | None] = mapped_column(Text)
    execution_time_seconds: Mapped[int | None]
    started_at: Mapped[datetime] = mapped_column(server_default=func.now())
    completed_at: Mapped[datetime | None]

    # Beside the contract.
    kernel_name: Mapped[str | None] = mapped_column(String(255))
    timeout_seconds: Mapped[float | None]
    service_id: Mapped[int | None] = mapped_column(BigInteger)
    """The service or command that runs it: the key of an advisory lock that it holds as long as it lives."""
    failure: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    """Why it did not succeed: ``reason``, and ``cell_index``, ``ename``, ``evalue`` where a cell raised."""
    cells_total: Mapped[int | None]
    cells_completed: Mapped[int] = mapped_column(server_default="0", default=0)


class ExecutionCount(Base):
    """Changes of the number of executions by owner, status and notebook; their sum is the total of a list.

    Triggers on ``notebook_executions`` append one row for each group that a statement changed, in its transaction, so
    totals are exact, and counting a million executions reads a few hundred rows. Rows are only appended, so writers
    never wait for each other; now and then a writer replaces them by their sums.
    """

    __tablename__ = "execution_counts"

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    username: Mapped[str] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(50))
    notebook_id: Mapped[int | None]
    change: Mapped[int] = mapped_column(BigInteger)
