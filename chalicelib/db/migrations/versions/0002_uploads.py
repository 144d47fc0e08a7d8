"""Direct uploads, limits and quotas.

Revision ID: 0002

Only adds, so that the previous release's code goes on working: the counting is done by triggers, not by the code.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

_TABLES = (
    """
ALTER TABLE files
    ADD COLUMN reserved bigint NOT NULL DEFAULT 0 CONSTRAINT files_reserved_check CHECK (reserved >= 0),
    ADD COLUMN sha256 text COLLATE "C",
    ADD COLUMN detected_media_type text COLLATE "C",
    ADD COLUMN is_mismatch boolean NOT NULL DEFAULT false
""",
    "CREATE INDEX files_owner_id_sha256_idx ON files (owner_id, sha256) WHERE sha256 IS NOT NULL",
    """
ALTER TABLE users ADD COLUMN limits jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT users_limits_check CHECK (jsonb_typeof(limits) = 'object')
""",
    """
ALTER TABLE sessions ADD COLUMN limits jsonb NOT NULL DEFAULT '{}'
    CONSTRAINT sessions_limits_check CHECK (jsonb_typeof(limits) = 'object')
""",
    """
CREATE TABLE uploads (
    file_id uuid CONSTRAINT uploads_pkey PRIMARY KEY
        CONSTRAINT uploads_file_id_fkey REFERENCES files (id) ON DELETE CASCADE,
    owner_id uuid CONSTRAINT uploads_owner_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    client_key text,
    method text NOT NULL CONSTRAINT uploads_method_check CHECK (method IN ('put', 'post', 'multipart')),
    multipart_id text,
    size bigint CONSTRAINT uploads_size_check CHECK (size >= 0),
    media_type text,
    sha256 text,
    part_size bigint,
    parts jsonb,
    expires_at timestamptz NOT NULL,
    problem text,
    closed_at timestamptz,
    judged_rank text,
    created_at timestamptz NOT NULL
)
""",
    "CREATE INDEX uploads_owner_id_client_key_idx ON uploads (owner_id, client_key)",
    "CREATE INDEX uploads_expires_at_idx ON uploads (expires_at)",
    """
CREATE TABLE usage (
    owner_id uuid NOT NULL CONSTRAINT usage_owner_id_fkey REFERENCES users (id) ON DELETE CASCADE,
    session_id text NOT NULL,
    files bigint NOT NULL,
    bytes bigint NOT NULL,
    CONSTRAINT usage_pkey PRIMARY KEY (owner_id, session_id)
)
""",
)

# What a file counts for: its object's bytes once stored, what was announced until then, nothing when it is deleted.
_SHARE = """
    SELECT f.owner_id, s.session_id, {sign}1 AS files,
        {sign}CASE f.state WHEN 'stored' THEN coalesce(f.size, 0) ELSE f.reserved END AS bytes
    FROM {rows} AS f CROSS JOIN LATERAL (VALUES (''), (f.session_id)) AS s (session_id)
    WHERE f.owner_id IS NOT NULL AND f.state <> 'deleted' AND s.session_id IS NOT NULL
"""
# One statement for all rows that a statement touched. In order, so that two of them never wait for each other in a circle.
_COUNT = """
    INSERT INTO usage AS u (owner_id, session_id, files, bytes)
    SELECT owner_id, session_id, sum(files), sum(bytes) FROM ({changes}) AS c
    GROUP BY owner_id, session_id HAVING sum(files) <> 0 OR sum(bytes) <> 0
    ORDER BY owner_id, session_id
    ON CONFLICT (owner_id, session_id) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes;
"""
_ADDED, _TAKEN = _SHARE.format(sign="+", rows="added"), _SHARE.format(sign="-", rows="taken")
_TRIGGERS = {
    "insert": ("INSERT", "NEW TABLE AS added", _ADDED),
    "update": ("UPDATE", "OLD TABLE AS taken NEW TABLE AS added", f"{_ADDED} UNION ALL {_TAKEN}"),
    "delete": ("DELETE", "OLD TABLE AS taken", _TAKEN),
}


def upgrade() -> None:
    for statement in _TABLES:
        op.execute(statement)
    for name, (event, tables, changes) in _TRIGGERS.items():
        op.execute(
            f"CREATE FUNCTION count_usage_after_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_COUNT.format(changes=changes)} RETURN NULL; END $$"
        )
        op.execute(
            f"CREATE TRIGGER count_usage_after_{name} AFTER {event} ON files REFERENCING {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION count_usage_after_{name}()"
        )
    op.execute(_COUNT.format(changes=_SHARE.format(sign="+", rows="files")))


def downgrade() -> None:
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER count_usage_after_{name} ON files")
        op.execute(f"DROP FUNCTION count_usage_after_{name}()")
    op.execute("DROP TABLE usage, uploads")
    op.execute("ALTER TABLE sessions DROP COLUMN limits")
    op.execute("ALTER TABLE users DROP COLUMN limits")
    op.execute(
        "ALTER TABLE files DROP COLUMN reserved, DROP COLUMN sha256, DROP COLUMN detected_media_type, DROP COLUMN is_mismatch"
    )
