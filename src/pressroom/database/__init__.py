"""PostgreSQL: the tables, the sessions, the embedded server, the migrations."""
