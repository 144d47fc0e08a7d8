"""The trail: who did what to which file.

No key refers to users or files: the trail outlives them, and then has nothing of them but their ids.

Revision ID: 0021
"""

from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE acts (
            id uuid CONSTRAINT acts_pkey PRIMARY KEY,
            at timestamptz NOT NULL,
            actor_id uuid,
            key_id uuid,
            via text NOT NULL CONSTRAINT acts_via_check CHECK (via IN ('request', 'job', 'clock', 'event')),
            act text NOT NULL,
            file_id uuid,
            owner_id uuid,
            subject_id uuid,
            request_id text)""")
    op.execute("CREATE INDEX acts_file_id_at_idx ON acts (file_id, at) WHERE file_id IS NOT NULL")
    op.execute("CREATE INDEX acts_owner_id_id_idx ON acts (owner_id, id) WHERE owner_id IS NOT NULL")
    op.execute("CREATE INDEX acts_actor_id_id_idx ON acts (actor_id, id) WHERE actor_id IS NOT NULL")
    # Events belong to the file that is at their key, or was there until it moved. The tombstone that a moved file has left has
    # none of its own.
    op.execute("""
        CREATE VIEW trail AS
        SELECT a.at, CAST(a.id AS text) COLLATE "C" AS id, a.actor_id, a.key_id, a.via, a.act, a.file_id, a.owner_id,
            a.subject_id, a.request_id
        FROM acts AS a
        UNION ALL
        SELECT coalesce(nullif(e.event_time, 'epoch'), e.recorded_at), CAST(e.id AS text) COLLATE "C", NULL, NULL, 'event',
            e.change, l.file_id, l.owner_id, NULL, NULL
        FROM (
            SELECT f.id AS file_id, f.owner_id, f.bucket, f.key, CAST('infinity' AS timestamptz) AS until
            FROM files AS f WHERE f.moved_to IS NULL
            UNION ALL
            SELECT p.file_id, f.owner_id, p.bucket, p.key, p.moved_at
            FROM file_places AS p JOIN files AS f ON f.id = p.file_id) AS l
        JOIN file_events AS e ON e.bucket = l.bucket AND e.key = l.key AND e.event_time <= l.until""")


def downgrade() -> None:
    op.execute("DROP VIEW trail")
    op.execute("DROP TABLE acts")
