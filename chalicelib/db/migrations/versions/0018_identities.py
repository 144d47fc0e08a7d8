"""Whom identity providers call what.

Revision ID: 0018
"""

from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE identities (
            issuer text COLLATE "C" NOT NULL,
            subject text COLLATE "C" NOT NULL,
            user_id uuid NOT NULL CONSTRAINT identities_user_id_fkey REFERENCES users ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            CONSTRAINT identities_pkey PRIMARY KEY (issuer, subject))""")
    op.execute("CREATE INDEX identities_user_id_idx ON identities (user_id)")


def downgrade() -> None:
    op.execute("DROP TABLE identities")
