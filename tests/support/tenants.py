"""Two members of one database, one of whom has a row in every table."""

from uuid import UUID

from sqlalchemy import Engine, text

from chalicelib.db.engine import Session, transaction
from chalicelib.db.search import index_files

ADA, EVE = UUID(int=0xADA), UUID(int=0xEFE)
# Whatever is Ada's has it somewhere.
SECRET = "zanzibar"
STORED, PENDING, DELETED, MOVED = (UUID(f"01890000-0000-7000-8000-00000000000{n}") for n in range(1, 5))
SHARE, JOB, AUDIT = (UUID(f"01890000-0000-7000-8000-00000000001{n}") for n in range(3))
BUCKET = "tenants"

_ROWS = f"""
INSERT INTO users (id, name, email, role, created_at, updated_at) VALUES
    ('{ADA}', 'Ada {SECRET}', '{SECRET}@example.org', 'member', now(), now()),
    ('{EVE}', 'Eve', NULL, 'member', now(), now());
INSERT INTO identities VALUES ('https://issuer', '{SECRET}', '{ADA}', now());
INSERT INTO barred_identities VALUES ('{SHARE}', '{SECRET}', '{MOVED}', now());
INSERT INTO sessions (id, owner_id, session_id, name, created_at, updated_at)
    VALUES ('{SHARE}', '{ADA}', '{SECRET}', 'trip', now(), now());
INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at) VALUES
    ('{STORED}', '{BUCKET}', '{ADA}/in/{SECRET}.txt', '{SECRET}.txt', 'pending', '{ADA}', now(), now()),
    ('{PENDING}', '{BUCKET}', '{ADA}/out/p', '{SECRET}', 'pending', '{ADA}', now(), now()),
    ('{DELETED}', '{BUCKET}', '{ADA}/in/d', '{SECRET}', 'deleted', '{ADA}', now(), now()),
    ('{MOVED}', '{BUCKET}', '{ADA}/old', '{SECRET}', 'deleted', NULL, now(), now());
UPDATE files SET moved_to = '{STORED}' WHERE id = '{MOVED}';
UPDATE files SET state = 'stored', session_id = '{SECRET}', version_id = 'v1', rank = 'r1', size = 5, etag = 'e',
    media_type = 'text/plain', metadata = '{{"a": "{SECRET}"}}', tags = '{{{SECRET}}}' WHERE id = '{STORED}';
INSERT INTO file_places VALUES ('{STORED}', now(), '{BUCKET}', '{ADA}/old', 'v0', 'e', now() - interval '1 day');
INSERT INTO uploads (file_id, owner_id, client_key, method, multipart_id, part_size, expires_at, created_at)
    VALUES ('{PENDING}', '{ADA}', '{SECRET}', 'multipart', 'm1', 5242880, now() + interval '1 day', now());
INSERT INTO object_versions (bucket, key, version_id, put_rank, removal_rank, held_object, size, etag, stored_at) VALUES
    ('{BUCKET}', '{ADA}/in/{SECRET}.txt', 'v1', 'r1', '', true, 5, 'e', now()),
    ('{BUCKET}', '{ADA}/in/d', 'v1', 'r1', '', true, 5, 'e', now()),
    ('{BUCKET}', '{ADA}/old', 'v0', 'r0', '', true, 5, 'e', now() - interval '1 day'),
    ('{BUCKET}', '{ADA}/old', 'later', 'r9', '', true, 5, 'e', now() + interval '1 hour');
INSERT INTO file_events (bucket, key, rank, version_id, event_time, change, event_name, sequencer, recorded_at) VALUES
    ('{BUCKET}', '{ADA}/in/{SECRET}.txt', 'r1', 'v1', now(), 'put', 'e', '', now()),
    ('{BUCKET}', '{ADA}/old', 'r0', 'v0', now() - interval '1 day', 'put', 'e', '', now()),
    ('{BUCKET}', '{ADA}/old', 'r9', 'later', now() + interval '1 hour', 'put', 'e', '', now());
INSERT INTO shares (id, file_id, created_by, token_hash, expires_at, created_at)
    VALUES ('{SHARE}', '{STORED}', '{ADA}', 'hash', now() + interval '1 day', now());
INSERT INTO jobs (id, owner_id, kind, state, command, run_after, created_at, updated_at)
    VALUES ('{JOB}', '{ADA}', 'copy', 'queued', '{{"{SECRET}": 1}}', now() + interval '1 day', now(), now());
INSERT INTO api_keys (id, owner_id, name, scopes, secret_hash, created_at)
    VALUES ('{SHARE}', '{ADA}', '{SECRET}', '{{read}}', 'h', now());
INSERT INTO owner_rules VALUES ('{SHARE}', '{BUCKET}', '{SECRET}', '{ADA}', now());
INSERT INTO session_members (id, session_row_id, email, role, created_at, updated_at)
    VALUES ('{JOB}', '{SHARE}', '{SECRET}@example.org', 'viewer', now(), now());
INSERT INTO acts (id, at, via, act, file_id, owner_id) VALUES ('{SHARE}', now(), 'request', 'download', '{STORED}', '{ADA}');
INSERT INTO rates VALUES ('{ADA}', now());
INSERT INTO waits VALUES ('{JOB}', '{ADA}', now() + interval '1 day');
INSERT INTO usage_changes (owner_id, session_id, files, bytes) VALUES ('{ADA}', '', 1, 1);
INSERT INTO audits (id, bucket, repairs, state, brake, grace_seconds, created_at, updated_at)
    VALUES ('{AUDIT}', '{SECRET}', false, 'done', 0, 0, now(), now());
INSERT INTO audit_ranges (audit_id, position) VALUES ('{AUDIT}', '{SECRET}');
INSERT INTO audit_findings (audit_id, key, version_id, kind, found_at) VALUES ('{AUDIT}', '{SECRET}', '', 'gone', now());
INSERT INTO audit_inventories (audit_id, bucket, key, source, made_at, format, fields)
    VALUES ('{AUDIT}', '{SECRET}', 'k', 's', now(), 'csv', '{{}}');
INSERT INTO audit_inventory_files (inventory_id, number, key, size, md5) SELECT id, 1, '{SECRET}', 1, '' FROM audit_inventories;
INSERT INTO inventory_versions VALUES (1, '{SECRET}', '', true, false, 1, now(), '');
INSERT INTO dead_events (id, message_id, body, about, reason, sent_at, tried_at)
    VALUES ('{AUDIT}', 'm', '{SECRET}', '{SECRET}', 'r', now(), now());
INSERT INTO stores (endpoint, bucket, probed_at) VALUES ('http://s', '{BUCKET}', now());
INSERT INTO buckets VALUES ('{SECRET}', now());
"""


def add_tenants(engine: Engine) -> None:
    """Add Ada, with a row in every table, and Eve, who has nothing."""
    with transaction(engine) as session:
        for statement in _ROWS.split(";\n"):
            if statement.strip():
                session.connection().exec_driver_sql(statement)
        index_files(session, 100)
        session.execute(text("INSERT INTO search_queue VALUES (:id)"), {"id": STORED})


def tables(session: Session) -> list[str]:
    """Every table and view with rows of its own, but for Alembic's. Partitions are parts of theirs."""
    found = session.scalars(
        text("""SELECT relname FROM pg_class WHERE relnamespace = CAST(current_schema() AS regnamespace)
            AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND relname <> 'alembic_version' ORDER BY relname""")
    )
    return list(found)
