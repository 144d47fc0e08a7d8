"""When the clock tries a file again that it could not delete or purge: apart from claims, which keep others from the file.

Revision ID: 0028
"""

from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    op.execute("ALTER TABLE files ADD COLUMN retry_after timestamptz")


def downgrade() -> None:
    op.execute("ALTER TABLE files DROP COLUMN retry_after")
