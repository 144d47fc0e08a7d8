"""Whom the objects below a prefix belong to that are put straight into a bucket; with whom a session is shared.

Revision ID: 0020
"""

from alembic import op

revision = "0020"
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
    op.execute("""
        CREATE TABLE session_members (
            id uuid CONSTRAINT session_members_pkey PRIMARY KEY,
            session_row_id uuid NOT NULL
                CONSTRAINT session_members_session_row_id_fkey REFERENCES sessions ON DELETE CASCADE,
            user_id uuid CONSTRAINT session_members_user_id_fkey REFERENCES users ON DELETE CASCADE,
            email text,
            role text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT session_members_role_check CHECK (role IN ('viewer', 'editor')),
            CONSTRAINT session_members_somebody_check CHECK (user_id IS NOT NULL OR email IS NOT NULL))""")
    for index in (
        "UNIQUE INDEX session_members_user_key ON session_members (session_row_id, user_id) WHERE email IS NULL",
        "UNIQUE INDEX session_members_email_key ON session_members (session_row_id, email) WHERE email IS NOT NULL",
        "INDEX session_members_session_row_id_id_idx ON session_members (session_row_id, id)",
        "INDEX session_members_user_id_session_row_id_idx ON session_members (user_id, session_row_id)",
        "INDEX session_members_unclaimed_idx ON session_members (email) WHERE user_id IS NULL",
    ):
        op.execute(f"CREATE {index}")
    _set_kinds(f"{_KINDS_BEFORE}, 'assign_owners', 'hand_over', 'delete_user'")


def downgrade() -> None:
    op.execute("DELETE FROM jobs WHERE kind IN ('assign_owners', 'hand_over', 'delete_user')")
    _set_kinds(_KINDS_BEFORE)
    op.execute("DROP TABLE session_members")
    op.execute("DROP TABLE owner_rules")


def _set_kinds(kinds: str) -> None:
    op.execute("ALTER TABLE jobs DROP CONSTRAINT jobs_kind_check")
    op.execute(f"ALTER TABLE jobs ADD CONSTRAINT jobs_kind_check CHECK (kind IN ({kinds}))")
