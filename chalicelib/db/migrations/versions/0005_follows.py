"""An index to find what follows a version.

Revision ID: 0005

`follows` names the version before. Only versions that Landfall made itself, or saw being made, have it. Their ranks may
lie anywhere once the events of some of them have come. Few rows have `follows`, so the index is small and costs an
event nothing.
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
