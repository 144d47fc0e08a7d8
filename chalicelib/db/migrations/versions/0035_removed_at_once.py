"""Tombstones of whole keys that ranked above everything.

Releases before took MinIO's event that a lifecycle rule has removed all versions of a key for a delete marker of the version
``*``, and its removal for the last change that there can be. Nothing at such a key could ever be recorded as there again. Now it
ranks where the event does. A repair brings back what S3 holds.

Revision ID: 0035
"""

from alembic import op

revision = "0035"
down_revision = "0034"


def upgrade() -> None:
    op.execute("""
        WITH mended AS (
            UPDATE object_versions SET removal_rank = put_rank, put_rank = '', is_delete_marker = false
            WHERE version_id = '*' AND removal_rank = '~' AND put_rank <> ''
            RETURNING bucket, key, removal_rank)
        UPDATE object_versions AS v SET removal_rank = m.removal_rank
        FROM mended AS m
        WHERE v.bucket = m.bucket AND v.key = m.key AND v.version_id = '' AND v.removal_rank = '~'
    """)


def downgrade() -> None:
    """What was mended stays so."""
