"""No tag is NULL.

Revision ID: 0007

The driver wrote a tag `null`, in upper or lower case, as NULL. Rows that have a NULL are cleaned.
"""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("UPDATE files SET tags = array_remove(tags, NULL) WHERE array_position(tags, NULL) IS NOT NULL")
    op.execute("ALTER TABLE files ADD CONSTRAINT files_tags_check CHECK (array_position(tags, NULL) IS NULL)")


def downgrade() -> None:
    op.execute("ALTER TABLE files DROP CONSTRAINT files_tags_check")
