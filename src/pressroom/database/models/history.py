"""What keeps the history's totals and pages fast."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Identity,
    Index,
    String,
)
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base

HOUR_BLOCK_BITS = 10
"""An id's block, in ``execution_hours``, is the id without its last bits."""


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


class ExecutionHour(Base):
    """That executions whose ids lie in a block of 1,024 were submitted in an hour.

    Ids come in the order of time, but only nearly, so a range of time is no range of ids; this table tells in which ids
    it lies. Triggers add what is missing, and nothing is taken away: an entry too many costs little.
    """

    __tablename__ = "execution_hours"
    __table_args__ = (Index("ix_execution_hours_hour_block", "hour", "block"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    hour: Mapped[datetime]
    """Its beginning, in UTC."""
    block: Mapped[int]


class ExecutionParameter(Base):
    """That an execution has a parameter with a value: an index of parameters in the order of executions.

    ``parameter`` is a hash of the name and the value, of those values that a list can be asked for: not of lists and
    objects. Triggers keep it. What would make a write dearer is left out: a foreign key, and a primary key, so an entry
    may be there twice, or of a value that the execution has no more.
    """

    __tablename__ = "execution_parameters"
    __table_args__ = (Index("ix_execution_parameters_parameter_execution_id", "parameter", "execution_id"),)

    parameter: Mapped[int] = mapped_column()
    execution_id: Mapped[int] = mapped_column()
    __mapper_args__ = {"primary_key": (parameter, execution_id)}  # noqa: RUF012 - SQLAlchemy reads it from the class
