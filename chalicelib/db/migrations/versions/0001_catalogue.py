"""The catalogue: users, sessions, files, object versions and events.

Revision ID: 0001
"""

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
CREATE TABLE users (
    id uuid CONSTRAINT users_pkey PRIMARY KEY,
    name text NOT NULL CONSTRAINT users_name_check CHECK (length(name) BETWEEN 1 AND 200),
    email text,
    role text NOT NULL DEFAULT 'member' CONSTRAINT users_role_check CHECK (role IN ('member', 'operator')),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
CREATE UNIQUE INDEX users_email_key ON users (lower(email));
CREATE INDEX users_name_id_idx ON users (name, id);

CREATE TABLE sessions (
    id uuid CONSTRAINT sessions_pkey PRIMARY KEY,
    owner_id uuid NOT NULL CONSTRAINT sessions_owner_id_fkey REFERENCES users (id) ON DELETE RESTRICT,
    session_id text NOT NULL CONSTRAINT sessions_session_id_check CHECK (length(session_id) BETWEEN 1 AND 128),
    name text,
    metadata jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT sessions_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT sessions_owner_id_session_id_key UNIQUE (owner_id, session_id)
);
CREATE INDEX sessions_owner_id_id_idx ON sessions (owner_id, id);

CREATE TABLE files (
    id uuid CONSTRAINT files_pkey PRIMARY KEY,
    bucket text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL CONSTRAINT files_key_check CHECK (octet_length(key) BETWEEN 1 AND 1024),
    name text COLLATE "C" NOT NULL,
    state text NOT NULL CONSTRAINT files_state_check CHECK (state IN ('pending', 'stored', 'deleted')),
    owner_id uuid CONSTRAINT files_owner_id_fkey REFERENCES users (id) ON DELETE RESTRICT,
    session_id text,
    version_id text COLLATE "C",
    rank text COLLATE "C" NOT NULL DEFAULT '',
    size bigint CONSTRAINT files_size_check CHECK (size >= 0),
    etag text,
    media_type text COLLATE "C",
    stored_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}' CONSTRAINT files_metadata_check CHECK (jsonb_typeof(metadata) = 'object'),
    tags text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT files_key_bucket_key UNIQUE (key, bucket),
    CONSTRAINT files_stored_has_version_check CHECK ((state = 'stored') = (version_id IS NOT NULL)),
    CONSTRAINT files_only_stored_has_size_check CHECK (state = 'stored' OR size IS NULL),
    CONSTRAINT files_session_has_owner_check CHECK (session_id IS NULL OR owner_id IS NOT NULL),
    CONSTRAINT files_session_id_fkey FOREIGN KEY (owner_id, session_id)
        REFERENCES sessions (owner_id, session_id) ON DELETE SET NULL (session_id)
);
CREATE INDEX files_updated_at_id_idx ON files (updated_at, id);
CREATE INDEX files_name_id_idx ON files (name, id);
CREATE INDEX files_size_id_idx ON files (size, id);
CREATE INDEX files_bucket_id_idx ON files (bucket, id);
CREATE INDEX files_owner_id_id_idx ON files (owner_id, id) WHERE owner_id IS NOT NULL;
CREATE INDEX files_session_idx ON files (owner_id, session_id, id) WHERE session_id IS NOT NULL;
CREATE INDEX files_media_type_id_idx ON files (media_type, id) WHERE media_type IS NOT NULL;
CREATE INDEX files_state_idx ON files (state, id) WHERE state <> 'stored';

CREATE TABLE object_versions (
    bucket text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    version_id text COLLATE "C" NOT NULL,
    put_rank text COLLATE "C" NOT NULL DEFAULT '',
    removal_rank text COLLATE "C" NOT NULL DEFAULT '',
    alive boolean NOT NULL GENERATED ALWAYS AS (put_rank > removal_rank) STORED,
    held_object boolean NOT NULL DEFAULT false,
    is_delete_marker boolean NOT NULL DEFAULT false,
    follows text COLLATE "C",
    size bigint CONSTRAINT object_versions_size_check CHECK (size >= 0),
    etag text,
    stored_at timestamptz,
    media_type text,
    inspection jsonb,
    inspect_after timestamptz,
    inspect_tries integer NOT NULL DEFAULT 0,
    CONSTRAINT object_versions_pkey PRIMARY KEY (bucket, key, version_id)
);
CREATE INDEX object_versions_current_idx ON object_versions (bucket, key, put_rank, version_id) WHERE alive;
CREATE INDEX object_versions_inspection_idx ON object_versions (inspect_after) WHERE inspect_after IS NOT NULL;

CREATE TABLE file_events (
    bucket text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    rank text COLLATE "C" NOT NULL,
    version_id text COLLATE "C" NOT NULL,
    event_time timestamptz NOT NULL,
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    recorded_xid bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    change text NOT NULL
        CONSTRAINT file_events_change_check CHECK (change IN ('put', 'marker', 'removal', 'purge')),
    event_name text NOT NULL,
    sequencer text NOT NULL,
    size bigint,
    etag text,
    recorded_at timestamptz NOT NULL,
    CONSTRAINT file_events_pkey PRIMARY KEY (bucket, key, rank, version_id, event_time)
) PARTITION BY RANGE (event_time);
CREATE INDEX file_events_feed_idx ON file_events (recorded_xid, id);
CREATE TABLE file_events_default PARTITION OF file_events DEFAULT;
"""


def upgrade() -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE file_events, object_versions, files, sessions, users")
