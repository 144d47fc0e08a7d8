"""Whom the objects below a prefix belong to that are put straight into a bucket.

Revision ID: 0021
"""

from alembic import op

revision = "0021"
down_revision = "0019"

_KINDS_BEFORE = "'copy', 'move', 'restore', 'delete_folder', 'empty_trash', 'zip'"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE owner_rules (
            id uuid CONSTRAINT owner_rules_pkey PRIMARY KEY,
            bucket text COLLATE "C" NOT NULL,
            prefix text COLLATE "C" NOT NULL,
            user_id uuid NOT NULL CONSTRAINT owner_rules_user_id_fkey REFERENCES users ON DELETE CASCADE,
            created_at timestamptz NOT NULL,
            CONSTRAINT owner_rules_bucket_prefix_key UNIQUE (bucket, prefix))""")
    op.execute("CREATE INDEX owner_rules_user_id_idx ON owner_rules (user_id)")
    _set_kinds(f"{_KINDS_BEFORE}, 'assign_owners'")


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE kind = 'assign_owners'")
    _set_kinds(_KINDS_BEFORE)
    op.execute("DROP TABLE owner_rules")


def _set_kinds(kinds: str) -> None:
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check")
    op.execute(f"ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ({kinds}))")
