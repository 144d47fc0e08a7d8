"""Search: words of names, paths, tags and metadata, in a table of their own.

Revision ID: 0004

Inverted indexes on `files` itself would cost every event 40 µs, half as much again as recording it (measured; see ADR 12). So
triggers only queue the ids, and what follows recording indexes them.
"""

from alembic import op

revision = "0004"
down_revision = "0003"

_STATEMENTS = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    """
CREATE TABLE file_search (
    file_id uuid CONSTRAINT file_search_pkey PRIMARY KEY
        CONSTRAINT file_search_file_id_fkey REFERENCES files (id) ON DELETE CASCADE,
    words text NOT NULL,
    document tsvector NOT NULL
)
""",
    "CREATE INDEX file_search_words_idx ON file_search USING gin (words gin_trgm_ops)",
    "CREATE INDEX file_search_document_idx ON file_search USING gin (document)",
    "CREATE TABLE search_queue (file_id uuid CONSTRAINT search_queue_pkey PRIMARY KEY)",
    "CREATE INDEX files_tags_idx ON files USING gin (tags)",
    "CREATE INDEX files_metadata_idx ON files USING gin (metadata jsonb_path_ops)",
    """
CREATE FUNCTION queue_new_for_search() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO search_queue SELECT id FROM added ON CONFLICT DO NOTHING; RETURN NULL; END $$
""",
    """
CREATE TRIGGER queue_new_for_search AFTER INSERT ON files REFERENCING NEW TABLE AS added
FOR EACH STATEMENT EXECUTE FUNCTION queue_new_for_search()
""",
    """
CREATE FUNCTION queue_changed_for_search() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    -- An update, and no "do nothing": it waits for, or is seen by, whoever is indexing the file's old words.
    INSERT INTO search_queue VALUES (NEW.id) ON CONFLICT (file_id) DO UPDATE SET file_id = excluded.file_id;
    RETURN NULL;
END $$
""",
    # By column: an event changes none of these, and doesn't come here.
    """
CREATE TRIGGER queue_changed_for_search AFTER UPDATE OF name, key, tags, metadata ON files
FOR EACH ROW EXECUTE FUNCTION queue_changed_for_search()
""",
    "INSERT INTO search_queue SELECT id FROM files",
)


def upgrade() -> None:
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for name in ("queue_new_for_search", "queue_changed_for_search"):
        op.execute(f"DROP TRIGGER {name} ON files")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute("DROP TABLE search_queue, file_search")
    op.execute("DROP INDEX files_tags_idx, files_metadata_idx")
    op.execute("DROP EXTENSION pg_trgm")
