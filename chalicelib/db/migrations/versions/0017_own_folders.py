"""An owner's stored files by their keys, so that a member's folders are found without reading other files.

Revision ID: 0017

Objects that are dropped into the bucket have no owner and cost nothing more. A file that was uploaded through the API is
added once, when it is stored.
"""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute("""
        CREATE INDEX files_own_keys_idx ON files (owner_id, bucket, key)
            WHERE owner_id IS NOT NULL AND state = 'stored'""")


def downgrade() -> None:
    op.execute("DROP INDEX files_own_keys_idx")
