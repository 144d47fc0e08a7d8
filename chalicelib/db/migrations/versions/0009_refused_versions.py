"""A version that a policy refused says so, and isn't handed out by its id.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.execute("ALTER TABLE object_versions ADD COLUMN refusal text")


def downgrade() -> None:
    op.execute("ALTER TABLE object_versions DROP COLUMN refusal")
