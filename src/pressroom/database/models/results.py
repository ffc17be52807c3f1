"""What executions record beyond their row."""

from sqlalchemy import BigInteger, ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class ExecutionResult(Base):
    """A result that is too large, or of a kind, that it is not in the execution's own row."""

    __tablename__ = "execution_results"

    execution_id: Mapped[int] = mapped_column(
        ForeignKey("notebook_executions.id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    media_type: Mapped[str] = mapped_column(String(255))
    data: Mapped[bytes] = mapped_column(LargeBinary)


class ExecutionArtifact(Base):
    """A file that an execution left in its artifact directory. ``path`` is relative to that; ``size`` in bytes."""

    __tablename__ = "execution_artifacts"

    execution_id: Mapped[int] = mapped_column(
        ForeignKey("notebook_executions.id", ondelete="CASCADE"), primary_key=True
    )
    path: Mapped[str] = mapped_column(String(512), primary_key=True)
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str] = mapped_column(String(255))
