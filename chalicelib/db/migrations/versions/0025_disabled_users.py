"""Users as whom nobody may act; the identities of deleted users; memberships that have ended under another name.

Revision ID: 0025
"""

from alembic import op

from chalicelib.db.member_views import empty_schemas

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN disabled_at timestamptz")
    op.execute("ALTER TABLE session_members ADD COLUMN ended_at timestamptz")
    op.execute("""
        CREATE TABLE barred_identities (
            id uuid CONSTRAINT barred_identities_pkey PRIMARY KEY,
            identity_hash text NOT NULL CONSTRAINT barred_identities_identity_hash_key UNIQUE,
            user_id uuid NOT NULL,
            created_at timestamptz NOT NULL)""")


def downgrade() -> None:
    empty_schemas(op.get_bind())
    op.execute("DROP TABLE barred_identities")
    op.execute("DELETE FROM session_members WHERE ended_at IS NOT NULL")
    op.execute("ALTER TABLE session_members DROP COLUMN ended_at")
    op.execute("ALTER TABLE users DROP COLUMN disabled_at")
