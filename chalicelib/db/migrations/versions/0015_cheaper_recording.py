"""Recording looks for purges where there are hardly any rows, and keeps no index that nothing reads.

Revision ID: 0015
"""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute("CREATE INDEX object_versions_purges_idx ON object_versions (bucket, key) WHERE version_id = '*'")
    op.execute("DROP INDEX file_events_feed_idx")


def downgrade() -> None:
    op.execute("CREATE INDEX file_events_feed_idx ON file_events (recorded_xid, id)")
    op.execute("DROP INDEX object_versions_purges_idx")
