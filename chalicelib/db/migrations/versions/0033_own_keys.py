"""The index of an owner's keys has the files that aren't stored, too: members' lists ask it for prefixes and folders.

The former release's statements find what they need in it as well.

Revision ID: 0033
"""

from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    _replace("(owner_id, key, bucket) INCLUDE (state, size) WHERE owner_id IS NOT NULL")


def downgrade() -> None:
    _replace("(owner_id, bucket, key) WHERE owner_id IS NOT NULL AND state = 'stored'")


def _replace(index: str) -> None:
    # To drop an index locks reads out, too; to make one doesn't.
    op.execute(f"CREATE INDEX files_new_keys_idx ON files {index}")
    op.execute("DROP INDEX files_own_keys_idx")
    op.execute("ALTER INDEX files_new_keys_idx RENAME TO files_own_keys_idx")
