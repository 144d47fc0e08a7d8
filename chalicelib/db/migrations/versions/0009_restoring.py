"""What a restore is about to add counts towards quotas while it goes on.

Revision ID: 0009
"""

from alembic import op

revision = "0009"
down_revision = "0008"

# As in 0002, but for `restoring`: a deleted file that is being restored counts already.
_SHARE = """
    SELECT f.owner_id, s.session_id, {sign}1 AS files,
        {sign}(CASE f.state WHEN 'stored' THEN coalesce(f.size, 0) WHEN 'pending' THEN f.reserved ELSE 0 END
            + coalesce(f.restoring, 0)) AS bytes
    FROM {rows} AS f CROSS JOIN LATERAL (VALUES (''), (f.session_id)) AS s (session_id)
    WHERE f.owner_id IS NOT NULL AND (f.state <> 'deleted' OR f.restoring IS NOT NULL) AND s.session_id IS NOT NULL
"""
_BEFORE = """
    SELECT f.owner_id, s.session_id, {sign}1 AS files,
        {sign}CASE f.state WHEN 'stored' THEN coalesce(f.size, 0) ELSE f.reserved END AS bytes
    FROM {rows} AS f CROSS JOIN LATERAL (VALUES (''), (f.session_id)) AS s (session_id)
    WHERE f.owner_id IS NOT NULL AND f.state <> 'deleted' AND s.session_id IS NOT NULL
"""
_COUNT = """
    INSERT INTO usage AS u (owner_id, session_id, files, bytes)
    SELECT owner_id, session_id, sum(files), sum(bytes) FROM ({changes}) AS c
    GROUP BY owner_id, session_id HAVING sum(files) <> 0 OR sum(bytes) <> 0
    ORDER BY owner_id, session_id
    ON CONFLICT (owner_id, session_id) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes;
"""


def upgrade() -> None:
    op.execute("""
        ALTER TABLE files ADD COLUMN restoring bigint
            CONSTRAINT files_restoring_check CHECK (restoring >= 0)""")
    op.execute("CREATE INDEX files_restoring_idx ON files (id) WHERE restoring IS NOT NULL")
    _replace_functions(_SHARE)


def downgrade() -> None:
    op.execute("UPDATE files SET restoring = NULL WHERE restoring IS NOT NULL")
    _replace_functions(_BEFORE)
    op.execute("DROP INDEX files_restoring_idx")
    op.execute("ALTER TABLE files DROP COLUMN restoring")


def _replace_functions(share: str) -> None:
    added, taken = share.format(sign="+", rows="added"), share.format(sign="-", rows="taken")
    for name, changes in {"insert": added, "update": f"{added} UNION ALL {taken}", "delete": taken}.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION count_usage_after_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_COUNT.format(changes=changes)} RETURN NULL; END $$"
        )
