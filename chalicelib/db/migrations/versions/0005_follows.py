"""What follows a version is found by an index of its own.

Revision ID: 0005

Of versions that Landfall saw made, or made itself, `follows` says which came before; their ranks may lie anywhere once events of
some of them have come. Few rows have it, so the index is small and costs an event nothing.
"""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX object_versions_follows_idx ON object_versions (bucket, key, follows) WHERE follows IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DROP INDEX object_versions_follows_idx")
