"""Whose a file's words are, beside the words, and an index in which each word begins with that.

Revision ID: 0026

For the code of earlier releases a trigger fills the columns. Files of owners that were
indexed before are indexed again by the schedule, the newest first. Until all are, members' searches read the old indexes: see
`chalicelib.db.own_words`.
"""

from alembic import op
from sqlalchemy import text

revision = "0026"
down_revision = "0025"

_STATEMENTS = (
    # What is there gets the default of this statement, and isn't rewritten. A later row with the other one comes from code that
    # knows nothing of tags.
    "ALTER TABLE file_search ADD COLUMN owner_tag text NOT NULL DEFAULT '', ADD COLUMN session_tag text NOT NULL DEFAULT ''",
    "ALTER TABLE file_search ALTER COLUMN owner_tag SET DEFAULT '?'",
    # Written out, each word of a document has a quote before it, and no word has one in it. The cost says that
    # Postgres had better ask the index.
    """
CREATE FUNCTION own_words(document tsvector, owner_tag text, session_tag text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE COST 1000 AS
$$ DECLARE
    words text := ' ' || CAST(strip(document) AS text);
BEGIN
    IF octet_length(words) > 2038 THEN -- a word may have 2,046 bytes, tag and all: one that is longer by itself is left out
        words := ' ' || CAST(strip(ts_delete(document, ARRAY(
            SELECT word FROM unnest(tsvector_to_array(document)) AS word WHERE octet_length(word) > 2038))) AS text);
    END IF;
    RETURN CAST(replace(words, ' ''', ' ''' || owner_tag)
        || CASE WHEN session_tag = '' THEN '' ELSE replace(words, ' ''', ' ''' || session_tag) END AS tsvector);
END $$
""",
    # What waits to be sorted in is compared with each word of a search.
    """
CREATE INDEX file_search_own_words_idx ON file_search USING gin (own_words(document, owner_tag, session_tag))
WITH (gin_pending_list_limit = 64) WHERE owner_tag <> ''
""",
    """
CREATE FUNCTION search_tag(whose text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
$$ SELECT left(encode(sha256(convert_to(whose, 'UTF8')), 'base64'), 8) $$
""",
    """
CREATE FUNCTION tag_words() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    SELECT coalesce(search_tag(CAST(f.owner_id AS text)), ''), coalesce(search_tag(f.owner_id || '/' || f.session_id), '')
        INTO NEW.owner_tag, NEW.session_tag FROM files AS f WHERE f.id = NEW.file_id;
    RETURN NEW;
END $$
""",
    # The statistics of an index are its owner's to read, who isn't the role that searches.
    """
CREATE FUNCTION words_of_many_files(words text[], most bigint) RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = {schema}, pg_temp AS
$$ SELECT coalesce(array_agg(wanted.word), '{}') FROM unnest(words) AS wanted (word), pg_class AS c
WHERE c.oid = CAST('file_search_own_words_idx' AS regclass) AND c.reltuples * (
    SELECT sum(w.frequency) FROM pg_stats AS s,
        unnest(CAST(CAST(s.most_common_elems AS text) AS text[]), s.most_common_elem_freqs) AS w (word, frequency)
    WHERE s.schemaname = CAST(CAST(c.relnamespace AS regnamespace) AS text) AND s.tablename = c.relname
        AND w.word ^@ wanted.word) > most $$
""",
    """
CREATE TRIGGER tag_new_words BEFORE INSERT ON file_search FOR EACH ROW WHEN (NEW.owner_tag = '?') EXECUTE FUNCTION tag_words()
""",
    """
CREATE TRIGGER tag_changed_words BEFORE UPDATE ON file_search FOR EACH ROW
WHEN (NEW.owner_tag = OLD.owner_tag AND NEW.session_tag = OLD.session_tag) EXECUTE FUNCTION tag_words()
""",
    # Events name the owner in their update and leave it as it is.
    """
CREATE TRIGGER queue_given_for_search AFTER UPDATE OF owner_id, session_id ON files FOR EACH ROW
WHEN (OLD.owner_id IS DISTINCT FROM NEW.owner_id OR OLD.session_id IS DISTINCT FROM NEW.session_id)
EXECUTE FUNCTION queue_changed_for_search()
""",
    # What members' searches have to wait for. Nothing is added later, so the index is empty in the end.
    "ALTER TABLE search_queue ADD COLUMN is_untagged boolean NOT NULL DEFAULT false",
    "CREATE INDEX search_queue_untagged_idx ON search_queue (file_id) WHERE is_untagged",
    """
INSERT INTO search_queue (file_id, is_untagged)
SELECT s.file_id, true FROM file_search AS s JOIN files AS f ON f.id = s.file_id WHERE f.owner_id IS NOT NULL
ON CONFLICT (file_id) DO UPDATE SET is_untagged = true
""",
)


def upgrade() -> None:
    schema = op.get_bind().execute(text("SELECT quote_ident(current_schema())")).scalar_one()
    for statement in _STATEMENTS:
        op.execute(statement.replace("{schema}", schema))


def downgrade() -> None:
    op.execute("DROP TRIGGER queue_given_for_search ON files")
    op.execute("DROP TRIGGER tag_new_words ON file_search")
    op.execute("DROP TRIGGER tag_changed_words ON file_search")
    op.execute("DROP FUNCTION tag_words()")
    op.execute("DROP FUNCTION words_of_many_files(text[], bigint)")
    op.execute("DROP FUNCTION search_tag(text)")
    op.execute("ALTER TABLE search_queue DROP COLUMN is_untagged")
    op.execute("DROP INDEX file_search_own_words_idx")
    op.execute("DROP FUNCTION own_words(tsvector, text, text)")
    op.execute("ALTER TABLE file_search DROP COLUMN owner_tag, DROP COLUMN session_tag")
