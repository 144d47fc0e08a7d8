"""Alembic's entry: runs the migrations on the connection that ``chalicelib.db.migrate`` opened."""

from alembic import context

from chalicelib.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
