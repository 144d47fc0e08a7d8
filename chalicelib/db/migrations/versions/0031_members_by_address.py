"""Members are found by their address, also those who have somebody already.

The index of those who have nobody stays until the release after this one: the former release uses it.

Revision ID: 0031
"""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    op.execute("CREATE INDEX session_members_email_idx ON session_members (email) WHERE email IS NOT NULL")


def downgrade() -> None:
    op.execute("DROP INDEX session_members_email_idx")
