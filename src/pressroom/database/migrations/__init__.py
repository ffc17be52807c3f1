"""How the schema came to be, a revision each; Alembic reads them from here."""
