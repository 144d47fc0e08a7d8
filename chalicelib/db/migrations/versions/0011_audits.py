"""Audits, the ranges of keys they go through, and what they have found.

Revision ID: 0011
"""

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE audits (
            id uuid NOT NULL CONSTRAINT audits_pkey PRIMARY KEY,
            bucket text NOT NULL,
            prefix text COLLATE "C" NOT NULL DEFAULT '',
            repairs boolean NOT NULL,
            state text NOT NULL CONSTRAINT audits_state_check
                CHECK (state IN ('listing', 'settling', 'done', 'braked', 'cancelled')),
            brake double precision NOT NULL CONSTRAINT audits_brake_check CHECK (brake BETWEEN 0 AND 1),
            grace_seconds double precision NOT NULL CONSTRAINT audits_grace_check CHECK (grace_seconds >= 0),
            requested_by uuid CONSTRAINT audits_requested_by_fkey REFERENCES users ON DELETE SET NULL,
            problem text,
            missing bigint NOT NULL DEFAULT 0,
            different bigint NOT NULL DEFAULT 0,
            gone bigint NOT NULL DEFAULT 0,
            recorded bigint NOT NULL DEFAULT 0,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            finished_at timestamptz)""")
    op.execute("CREATE INDEX audits_requested_by_idx ON audits (requested_by) WHERE requested_by IS NOT NULL")
    op.execute("CREATE INDEX audits_open_idx ON audits (id) WHERE finished_at IS NULL")
    op.execute("CREATE INDEX audits_bucket_finished_at_idx ON audits (bucket, finished_at)")
    op.execute("""
        CREATE TABLE audit_ranges (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT audit_ranges_pkey PRIMARY KEY,
            audit_id uuid NOT NULL CONSTRAINT audit_ranges_audit_id_fkey REFERENCES audits ON DELETE CASCADE,
            position text COLLATE "C" NOT NULL,
            until text COLLATE "C",
            is_done boolean NOT NULL DEFAULT false,
            worker uuid,
            leased_until timestamptz,
            compared bigint NOT NULL DEFAULT 0,
            missing bigint NOT NULL DEFAULT 0,
            different bigint NOT NULL DEFAULT 0,
            recorded bigint NOT NULL DEFAULT 0)""")
    op.execute("CREATE INDEX audit_ranges_audit_id_idx ON audit_ranges (audit_id) WHERE NOT is_done")
    op.execute("CREATE INDEX audit_ranges_audit_id_id_idx ON audit_ranges (audit_id, id)")
    op.execute("""
        CREATE TABLE audit_findings (
            audit_id uuid NOT NULL CONSTRAINT audit_findings_audit_id_fkey REFERENCES audits ON DELETE CASCADE,
            key text COLLATE "C" NOT NULL,
            version_id text COLLATE "C" NOT NULL,
            kind text NOT NULL CONSTRAINT audit_findings_kind_check
                CHECK (kind IN ('missing', 'different', 'gone', 'unsure')),
            put_rank text COLLATE "C" NOT NULL DEFAULT '',
            found_at timestamptz NOT NULL,
            leased_until timestamptz,
            is_settled boolean NOT NULL DEFAULT false,
            CONSTRAINT audit_findings_pkey PRIMARY KEY (audit_id, key, version_id, kind))""")
    op.execute("CREATE INDEX audit_findings_open_idx ON audit_findings (audit_id, key) WHERE NOT is_settled")


def downgrade() -> None:
    op.execute("DROP TABLE audit_findings")
    op.execute("DROP TABLE audit_ranges")
    op.execute("DROP TABLE audits")
