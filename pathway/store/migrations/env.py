"""Alembic's entry point; the connection comes locked from `pathway/store/migrate.py`."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite's DDL is transactional; Alembic only fears drivers that commit by themselves.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
