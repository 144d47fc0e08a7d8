"""Notifications that failed all their tries.

Revision ID: 0013
"""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE dead_events (
            id uuid NOT NULL CONSTRAINT dead_events_pkey PRIMARY KEY,
            message_id text NOT NULL CONSTRAINT dead_events_message_id_key UNIQUE,
            body text NOT NULL,
            about text NOT NULL,
            reason text NOT NULL,
            sent_at timestamptz NOT NULL,
            tried_at timestamptz NOT NULL)""")


def downgrade() -> None:
    op.execute("DROP TABLE dead_events")
