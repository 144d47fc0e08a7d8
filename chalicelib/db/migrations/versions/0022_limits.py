"""What callers have used of their rates, and which requests wait.

Revision ID: 0022
"""

from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.execute("""
        CREATE UNLOGGED TABLE rates (
            user_id uuid CONSTRAINT rates_pkey PRIMARY KEY,
            full_at timestamptz NOT NULL) WITH (fillfactor = 50)""")
    op.execute("""
        CREATE UNLOGGED TABLE waits (
            id uuid CONSTRAINT waits_pkey PRIMARY KEY,
            user_id uuid NOT NULL,
            until timestamptz NOT NULL)""")
    op.execute("CREATE INDEX waits_user_id_idx ON waits (user_id)")


def downgrade() -> None:
    op.execute("DROP TABLE waits")
    op.execute("DROP TABLE rates")
