"""Jobs, share links, earlier locations of moved files, and when a file was purged.

Revision ID: 0003
"""

from alembic import op

revision = "0003"
down_revision = "0002"

_STATEMENTS = (
    """
ALTER TABLE files
    ADD COLUMN purged_at timestamptz,
    ADD COLUMN expires_at timestamptz,
    ADD COLUMN busy_until timestamptz,
    ADD COLUMN moved_to uuid CONSTRAINT files_moved_to_fkey REFERENCES files (id) ON DELETE SET NULL
""",
    """
CREATE INDEX files_trash_idx ON files (updated_at, id)
    WHERE state = 'deleted' AND moved_to IS NULL AND (purged_at IS NULL OR purged_at < updated_at)
""",
    "CREATE INDEX files_expires_at_idx ON files (expires_at) WHERE expires_at IS NOT NULL",
    "CREATE INDEX files_moved_to_idx ON files (moved_to) WHERE moved_to IS NOT NULL",
    """
CREATE TABLE file_places (
    file_id uuid NOT NULL CONSTRAINT file_places_file_id_fkey REFERENCES files (id) ON DELETE CASCADE,
    moved_at timestamptz NOT NULL,
    bucket text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    CONSTRAINT file_places_pkey PRIMARY KEY (file_id, moved_at)
)
""",
    """
CREATE TABLE jobs (
    id uuid CONSTRAINT jobs_pkey PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT jobs_owner_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    kind text NOT NULL
        CONSTRAINT jobs_kind_check CHECK (kind IN ('copy', 'move', 'restore', 'delete_folder', 'empty_trash', 'zip')),
    state text NOT NULL
        CONSTRAINT jobs_state_check CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    command jsonb NOT NULL,
    progress jsonb NOT NULL DEFAULT '{}',
    result jsonb,
    problem text,
    cancel_requested boolean NOT NULL DEFAULT false,
    tries integer NOT NULL DEFAULT 0,
    run_after timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
)
""",
    "CREATE INDEX jobs_owner_id_id_idx ON jobs (owner_id, id)",
    "CREATE INDEX jobs_run_after_idx ON jobs (run_after) WHERE state IN ('queued', 'running')",
    """
CREATE TABLE shares (
    id uuid CONSTRAINT shares_pkey PRIMARY KEY,
    file_id uuid NOT NULL CONSTRAINT shares_file_id_fkey REFERENCES files (id) ON DELETE CASCADE,
    created_by uuid NOT NULL CONSTRAINT shares_created_by_fkey REFERENCES users (id) ON DELETE CASCADE,
    token_hash text NOT NULL CONSTRAINT shares_token_hash_key UNIQUE,
    max_uses integer CONSTRAINT shares_max_uses_check CHECK (max_uses > 0),
    uses integer NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    created_at timestamptz NOT NULL
)
""",
    "CREATE INDEX shares_file_id_id_idx ON shares (file_id, id)",
    "CREATE INDEX shares_created_by_id_idx ON shares (created_by, id)",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE shares, jobs, file_places")
    op.execute(
        "ALTER TABLE files DROP COLUMN purged_at, DROP COLUMN expires_at, DROP COLUMN busy_until, DROP COLUMN moved_to"
    )
