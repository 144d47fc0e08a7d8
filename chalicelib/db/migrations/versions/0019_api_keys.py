"""API keys, and jobs that may do no more than the key that made them.

Revision ID: 0019

The previous release makes jobs without the new columns: they are those of a caller without a key.
"""

from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE api_keys (
            id uuid NOT NULL CONSTRAINT api_keys_pkey PRIMARY KEY,
            owner_id uuid NOT NULL CONSTRAINT api_keys_owner_id_fkey REFERENCES users ON DELETE CASCADE,
            name text NOT NULL CONSTRAINT api_keys_name_check CHECK (length(name) BETWEEN 1 AND 200),
            scopes text[] NOT NULL,
            prefix text COLLATE "C" CONSTRAINT api_keys_prefix_check CHECK (octet_length(prefix) BETWEEN 1 AND 512),
            session_id text,
            secret_hash text NOT NULL,
            made_by uuid CONSTRAINT api_keys_made_by_fkey REFERENCES api_keys ON DELETE SET NULL,
            expires_at timestamptz,
            revoked_at timestamptz,
            last_used_on date,
            created_at timestamptz NOT NULL,
            CONSTRAINT api_keys_scopes_check CHECK (cardinality(scopes) > 0 AND scopes <@ '{read,write,admin}'),
            CONSTRAINT api_keys_part_check CHECK (
                num_nonnulls(prefix, session_id) = 0
                OR (num_nonnulls(prefix, session_id) = 1 AND NOT scopes @> '{admin}')),
            CONSTRAINT api_keys_session_id_fkey FOREIGN KEY (owner_id, session_id)
                REFERENCES sessions (owner_id, session_id) ON DELETE CASCADE)""")
    op.execute("CREATE INDEX api_keys_owner_id_id_idx ON api_keys (owner_id, id)")
    op.execute("CREATE INDEX api_keys_owner_id_session_id_idx ON api_keys (owner_id, session_id)")
    op.execute("CREATE INDEX api_keys_made_by_idx ON api_keys (made_by)")
    op.execute("""
        ALTER TABLE jobs ADD COLUMN as_member boolean NOT NULL DEFAULT false,
            ADD COLUMN prefix text COLLATE "C", ADD COLUMN session_id text""")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN as_member, DROP COLUMN prefix, DROP COLUMN session_id")
    op.execute("DROP TABLE api_keys")
