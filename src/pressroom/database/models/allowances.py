"""How many executions each caller may still start."""

from datetime import datetime

from sqlalchemy import Double, String
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class ExecutionAllowance(Base):
    """What was left to a caller at a time: it grows from then on. Only with ``PRESSROOM_EXECUTIONS_PER_MINUTE``."""

    __tablename__ = "execution_allowances"

    username: Mapped[str] = mapped_column(String(100), primary_key=True)
    unused: Mapped[float] = mapped_column(Double)
    at: Mapped[datetime]
