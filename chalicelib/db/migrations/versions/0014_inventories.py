"""S3 Inventories that audits compare with, and the versions that they list while an audit compares them.

Revision ID: 0014
"""

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.execute("ALTER TABLE audits DROP CONSTRAINT audits_state_check")
    op.execute("""
        ALTER TABLE audits ADD CONSTRAINT audits_state_check
            CHECK (state IN ('loading', 'listing', 'settling', 'done', 'braked', 'failed', 'cancelled'))""")
    op.execute("""
        CREATE TABLE audit_inventories (
            id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_inventories_pkey PRIMARY KEY,
            audit_id uuid NOT NULL CONSTRAINT audit_inventories_audit_id_fkey REFERENCES audits ON DELETE CASCADE
                CONSTRAINT audit_inventories_audit_id_key UNIQUE,
            bucket text NOT NULL,
            key text NOT NULL,
            source text NOT NULL,
            made_at timestamptz NOT NULL,
            format text NOT NULL CONSTRAINT audit_inventories_format_check CHECK (format IN ('csv', 'parquet')),
            fields text[] NOT NULL,
            is_removed boolean NOT NULL DEFAULT false)""")
    op.execute("CREATE INDEX audit_inventories_kept_idx ON audit_inventories (id) WHERE NOT is_removed")
    op.execute("""
        CREATE TABLE audit_inventory_files (
            inventory_id integer NOT NULL CONSTRAINT audit_inventory_files_inventory_id_fkey
                REFERENCES audit_inventories ON DELETE CASCADE,
            number integer NOT NULL,
            key text NOT NULL,
            size bigint NOT NULL,
            md5 text NOT NULL,
            loaded bigint NOT NULL DEFAULT 0,
            is_done boolean NOT NULL DEFAULT false,
            worker uuid,
            leased_until timestamptz,
            CONSTRAINT audit_inventory_files_pkey PRIMARY KEY (inventory_id, number))""")
    # What it holds can be loaded again. So it needs no log, and is empty after a crash of the server.
    op.execute("""
        CREATE UNLOGGED TABLE inventory_versions (
            inventory_id integer NOT NULL,
            key text COLLATE "C" NOT NULL,
            version_id text COLLATE "C" NOT NULL,
            is_latest boolean NOT NULL,
            is_marker boolean NOT NULL,
            size bigint NOT NULL,
            modified timestamptz NOT NULL,
            etag text NOT NULL)""")
    op.execute("CREATE INDEX inventory_versions_inventory_id_key_idx ON inventory_versions (inventory_id, key)")
    op.execute("""
        DO $$ BEGIN
            IF current_user = 'landfall_owner' THEN GRANT TRUNCATE ON inventory_versions TO landfall_app; END IF;
        END $$""")


def downgrade() -> None:
    op.execute("DROP TABLE inventory_versions")
    op.execute("DROP TABLE audit_inventory_files")
    op.execute("DROP TABLE audit_inventories")
    op.execute("DELETE FROM audits WHERE state IN ('loading', 'failed')")
    op.execute("ALTER TABLE audits DROP CONSTRAINT audits_state_check")
    op.execute("""
        ALTER TABLE audits ADD CONSTRAINT audits_state_check
            CHECK (state IN ('listing', 'settling', 'done', 'braked', 'cancelled'))""")
