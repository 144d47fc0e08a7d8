"""What a file left at a place that it had: the last version there that was its own.

Revision ID: 0006

A time tells it only nearly: another client may put an object there while the file is being moved, and its event comes later.
Places of earlier moves have none, and are bounded by time as before.
"""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute(
        'ALTER TABLE file_places ADD COLUMN version_id text COLLATE "C", ADD COLUMN etag text, '
        "ADD COLUMN stored_at timestamptz"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE file_places DROP COLUMN version_id, DROP COLUMN etag, DROP COLUMN stored_at")
