"""What a probe found out about an object store that isn't AWS's.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE stores (
            endpoint text NOT NULL,
            bucket text NOT NULL,
            guarantees jsonb NOT NULL DEFAULT '{}' CONSTRAINT stores_guarantees_check CHECK (jsonb_typeof(guarantees) = 'object'),
            problem text,
            probed_at timestamptz NOT NULL,
            CONSTRAINT stores_pkey PRIMARY KEY (endpoint, bucket))""")


def downgrade() -> None:
    op.execute("DROP TABLE stores")
