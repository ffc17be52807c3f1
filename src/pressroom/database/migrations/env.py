"""Run by Alembic; the connection comes from :mod:`pressroom.database.migrate`."""

from alembic import context

from pressroom.database.models import Base

context.configure(connection=context.config.attributes["connection"], target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
