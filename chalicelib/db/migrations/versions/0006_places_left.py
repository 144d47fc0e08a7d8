"""What a file left at an earlier location: the last version there that belonged to it.

Revision ID: 0006

A time alone isn't exact: another client may put an object there while the file is being moved, and the event of that
comes later. The locations of earlier moves don't have such a version, and are bounded by time as before.
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
