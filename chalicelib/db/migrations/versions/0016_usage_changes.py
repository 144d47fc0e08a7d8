"""Recording adds what it changes of an owner's usage to a table of changes, instead of locking the owner's row.

Revision ID: 0016
"""

from alembic import op

revision = "0016"
down_revision = "0015"

# As in 0009.
_SHARE = """
    SELECT f.owner_id, s.session_id, {sign}1 AS files,
        {sign}(CASE f.state WHEN 'stored' THEN coalesce(f.size, 0) WHEN 'pending' THEN f.reserved ELSE 0 END
            + coalesce(f.restoring, 0)) AS bytes
    FROM {rows} AS f CROSS JOIN LATERAL (VALUES (''), (f.session_id)) AS s (session_id)
    WHERE f.owner_id IS NOT NULL AND (f.state <> 'deleted' OR f.restoring IS NOT NULL) AND s.session_id IS NOT NULL
"""
_SUMS = """
    SELECT owner_id, session_id, sum(files), sum(bytes) FROM ({changes}) AS c
    GROUP BY owner_id, session_id HAVING sum(files) <> 0 OR sum(bytes) <> 0
    ORDER BY owner_id, session_id
"""
_AT_ONCE = """
    INSERT INTO usage AS u (owner_id, session_id, files, bytes) {sums}
    ON CONFLICT (owner_id, session_id) DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes;
"""
# The code of earlier releases never asks for it, so its changes count at once.
_AS_ASKED = f"""
    IF current_setting('landfall.usage', true) = 'later' THEN
        INSERT INTO usage_changes (owner_id, session_id, files, bytes) {{sums}};
    ELSE {_AT_ONCE}
    END IF;
"""


def upgrade() -> None:
    op.execute("""
        CREATE TABLE usage_changes (
            id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT usage_changes_pkey PRIMARY KEY,
            owner_id uuid NOT NULL CONSTRAINT usage_changes_owner_id_fkey REFERENCES users ON DELETE CASCADE,
            session_id text NOT NULL,
            files bigint NOT NULL,
            bytes bigint NOT NULL)""")
    op.execute("CREATE INDEX usage_changes_owner_id_session_id_idx ON usage_changes (owner_id, session_id)")
    op.execute("""
        CREATE VIEW usage_now AS
        SELECT owner_id, session_id, CAST(sum(files) AS bigint) AS files, CAST(sum(bytes) AS bigint) AS bytes
        FROM (SELECT owner_id, session_id, files, bytes FROM usage
            UNION ALL SELECT owner_id, session_id, files, bytes FROM usage_changes) AS u
        GROUP BY owner_id, session_id""")
    _replace_functions(_AS_ASKED)


def downgrade() -> None:
    _replace_functions(_AT_ONCE)
    op.execute("""
        INSERT INTO usage AS u (owner_id, session_id, files, bytes)
        SELECT owner_id, session_id, sum(files), sum(bytes) FROM usage_changes GROUP BY owner_id, session_id
        ON CONFLICT (owner_id, session_id)
        DO UPDATE SET files = u.files + excluded.files, bytes = u.bytes + excluded.bytes""")
    op.execute("DROP VIEW usage_now")
    op.execute("DROP TABLE usage_changes")


def _replace_functions(count: str) -> None:
    added, taken = _SHARE.format(sign="+", rows="added"), _SHARE.format(sign="-", rows="taken")
    for name, changes in {"insert": added, "update": f"{added} UNION ALL {taken}", "delete": taken}.items():
        body = count.format(sums=_SUMS.format(changes=changes))
        op.execute(
            f"CREATE OR REPLACE FUNCTION count_usage_after_{name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN NULL; END $$"
        )
