"""Indexes in which each tag, and each member of the metadata, stands behind a tag of the file's owner and of its session.

Revision ID: 0027

As `file_search_own_words_idx` does for words. Files without tags, without metadata, or without an owner aren't in them.
"""

from alembic import op

revision = "0027"
down_revision = "0026"

# As `search_tag` has it. Written out, because a function in an index finds no others but PostgreSQL's own when the table is
# analysed.
_TAG = "left(encode(sha256(convert_to({whose}, 'UTF8')), 'base64'), 8)"
_OWNER, _SESSION = (
    _TAG.format(whose=whose) for whose in ("CAST(owner_id AS text)", "CAST(owner_id AS text) || '/' || session_id")
)

_STATEMENTS = (
    # The costs say that Postgres had better ask the index.
    """
CREATE FUNCTION own_tags(owner_id uuid, session_id text, tags text[]) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS
$$ BEGIN
    RETURN ARRAY(
        SELECT whose || tag FROM unnest(tags) AS tag, unnest(ARRAY[{owner}, {session}]) AS whose WHERE whose IS NOT NULL);
END $$
""",
    """
CREATE FUNCTION own_metadata(owner_id uuid, session_id text, metadata jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS
$$ BEGIN
    RETURN CASE WHEN session_id IS NULL THEN jsonb_build_object({owner}, metadata)
        ELSE jsonb_build_object({owner}, metadata, {session}, metadata) END;
END $$
""",
    """
CREATE INDEX files_own_tags_idx ON files USING gin (own_tags(owner_id, session_id, tags))
WHERE owner_id IS NOT NULL AND tags <> '{}'
""",
    """
CREATE INDEX files_own_metadata_idx ON files USING gin (own_metadata(owner_id, session_id, metadata) jsonb_path_ops)
WHERE owner_id IS NOT NULL AND metadata <> '{}'
""",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement.replace("{owner}", _OWNER).replace("{session}", _SESSION))


def downgrade() -> None:
    op.execute("DROP INDEX files_own_tags_idx, files_own_metadata_idx")
    op.execute("DROP FUNCTION own_tags(uuid, text, text[])")
    op.execute("DROP FUNCTION own_metadata(uuid, text, jsonb)")
