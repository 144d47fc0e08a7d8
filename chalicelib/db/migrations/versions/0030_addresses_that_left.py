"""Whoever had an address that a session was shared with, and hasn't it any more, is no member by it; whoever has it is.

Revision ID: 0030
"""

from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.execute("""
        UPDATE session_members AS m SET user_id = (SELECT u.id FROM users AS u WHERE lower(u.email) = m.email)
        WHERE m.email IS NOT NULL
            AND m.user_id IS DISTINCT FROM (SELECT u.id FROM users AS u WHERE lower(u.email) = m.email)""")


def downgrade() -> None:
    """Nothing to take back: the former release reads the rows as they are."""
