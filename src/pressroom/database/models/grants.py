"""Who else may do what with a notebook."""

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String, func
from sqlalchemy.orm import Mapped, mapped_column

from pressroom.database.models.base import Base


class Grant(Base):
    """What a user or a group may do with a notebook that is another's."""

    __tablename__ = "notebook_grants"
    __table_args__ = (Index("ix_notebook_grants_grantee_kind", "grantee", "kind"),)

    notebook_id: Mapped[int] = mapped_column(ForeignKey("notebooks.id", ondelete="CASCADE"), primary_key=True)
    kind: Mapped[str] = mapped_column(String(10), primary_key=True)
    """``user`` or ``group``."""
    grantee: Mapped[str] = mapped_column(String(100), primary_key=True)
    level: Mapped[str] = mapped_column(String(10))
    """``viewer``, ``runner`` or ``editor``."""
    granted_by: Mapped[str] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
