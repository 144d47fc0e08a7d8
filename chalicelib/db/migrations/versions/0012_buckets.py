"""Buckets that were adopted, and audits that the clock has begun.

Revision ID: 0012
"""

from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE buckets (
            name text NOT NULL CONSTRAINT buckets_pkey PRIMARY KEY,
            adopted_at timestamptz NOT NULL)""")
    op.execute("ALTER TABLE audits ADD COLUMN is_scheduled boolean NOT NULL DEFAULT false")
    op.execute(
        "CREATE UNIQUE INDEX audits_scheduled_key ON audits (bucket, prefix) WHERE is_scheduled AND finished_at IS NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX audits_scheduled_key")
    op.execute("ALTER TABLE audits DROP COLUMN is_scheduled")
    op.execute("DROP TABLE buckets")
