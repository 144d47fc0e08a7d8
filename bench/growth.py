"""The widest questions in a large catalogue, through the whole Lambda handler in process, against the same in a tenth of it.

`BENCH_FILES` says how many files; ten million take half an hour and 20 GB to make.
"""

import contextlib
import io
import os
from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any

from sqlalchemy import Engine, text

from bench.crowds import record_among
from bench.figures import Figure, plain_engine, seconds
from bench.ingest import vacuum
from bench.listing import _answer, _request
from chalicelib import runtime
from tests.support.notifications import NOON

FILES = int(os.environ.get("BENCH_FILES") or 1_000_000)
ROUNDS = 100
LARGE_MEMBER = "00000000-0000-7000-9000-000000000001"  # has a fifth of the files; 1,000 others share 30 %
SMALL_MEMBER = "00000000-0000-7000-9000-000000000002"

# What, route, query, whose.
CASES = (
    ("search: word in every file", "/api/files", "q=everywhere", None),
    ("search: word in one file of 10", "/api/files", "q=quokka", None),
    ("search: word in one file of 100", "/api/files", "q=zebra", None),
    ("search: word in one file of 1,000", "/api/files", "q=walrus", None),
    ("search: word in one file of 10,000", "/api/files", "q=ibexes", None),
    ("search: typo in that word", "/api/files", "q=ibexxes", None),
    ("search: typo in the word in every file", "/api/files", "q=evrywhere", None),
    ("search: similar to nothing, made of common trigrams", "/api/files", "q=logreplog", None),
    ("search: words in every and in few files", "/api/files", "q=everywhere ibexes", None),
    ("search: two words in some files", "/api/files", "q=quokka zebra", None),
    ("search: eight words", "/api/files", "q=report everywhere pdf everytag quokka zebra logs host", None),
    ("search: word in every file of a large member", "/api/files", "q=everywhere", LARGE_MEMBER),
    ("search: word in every file of a small member", "/api/files", "q=everywhere", SMALL_MEMBER),
    ("facets: everything", "/api/files/facets", "", None),
    ("facets: tag of every file", "/api/files/facets", "tag=everytag", None),
    ("facets: prefix of a third", "/api/files/facets", "prefix=logs/", None),
    ("facets: filter without an index that nothing passes", "/api/files/facets", "metadata.nothing:gt=5", None),
    ("facets: a large member's", "/api/files/facets", "", LARGE_MEMBER),
    ("folders: root", "/api/folders", "", None),
    ("folders: one with a third of the files", "/api/folders", "prefix=logs/", None),
    ("folders: a large member's root", "/api/folders", "", LARGE_MEMBER),
    ("folders: a large member's own", "/api/folders", f"prefix={LARGE_MEMBER}/", LARGE_MEMBER),
    ("list: a large member's, by name", "/api/files", "sort=name", LARGE_MEMBER),
    ("list: a large member's prefix", "/api/files", f"prefix={LARGE_MEMBER}/", LARGE_MEMBER),
    ("list: a large member's prefix, by name", "/api/files", f"prefix={LARGE_MEMBER}/&sort=name", LARGE_MEMBER),
    ("list: a large member's, by size", "/api/files", "sort=size", LARGE_MEMBER),
    ("list: a small member's, by size", "/api/files", "sort=size", SMALL_MEMBER),
)

_MEMBERS = """
INSERT INTO users (id, name, created_at, updated_at)
SELECT CAST('00000000-0000-7000-9000-' || lpad(to_hex(n), 12, '0') AS uuid), 'User ' || n, now(), now()
FROM generate_series(1, 1001) AS n
"""
# Half were uploaded by members, the others were dropped into folders by the hour and into 20,000 at the root. One in a
# hundred is deleted. The driver wants each percent sign twice.
_FILL = """
INSERT INTO files (id, bucket, key, name, state, owner_id, version_id, rank, size, etag, media_type, stored_at, created_at,
    updated_at, tags, metadata)
SELECT CAST(lpad(to_hex(1763900000000 + n * 10), 12, '0') || '70008' || lpad(to_hex(n), 15, '0') AS uuid), :bucket,
    CASE WHEN owner IS NOT NULL THEN owner || '/' || gen_random_uuid() || '/' || name
        WHEN n %% 10 < 8 THEN 'logs/' || to_char(moment, 'YYYY/MM/DD/HH24') || '/host-' || n %% 50 || '/' || name
        ELSE 'd' || h %% 20000 || '/' || name END,
    name, CASE WHEN h %% 100 = 7 THEN 'deleted' ELSE 'stored' END, CAST(owner AS uuid),
    CASE WHEN h %% 100 <> 7 THEN md5(n::text) END, lpad(to_hex(n), 18, '0') || '!', CASE WHEN h %% 100 <> 7 THEN h END,
    md5(n::text), (ARRAY['application/pdf', 'image/png', 'image/jpeg', 'text/plain'])[1 + h %% 4], moment, moment,
    to_timestamp(1763900000 + h / 1000.0), ARRAY['everytag', 't' || n %% 50],
    CASE WHEN n %% 3 = 0 THEN jsonb_build_object('iso', n %% 3200, 'author', 'author ' || n %% 977) ELSE '{}' END
FROM (
    SELECT n, abs(hashint8(n)::bigint) AS h, to_timestamp(1763900000 + n / 100.0) AS moment,
        CASE WHEN n %% 10 < 2 THEN '00000000-0000-7000-9000-000000000001'
            WHEN n %% 10 < 5 THEN '00000000-0000-7000-9000-' || lpad(to_hex(2 + abs(hashint8(n)) %% 1000), 12, '0') END AS owner,
        'report everywhere' || CASE WHEN hashint8(n + 1) %% 10 = 0 THEN ' quokka' ELSE '' END
            || CASE WHEN hashint8(n + 2) %% 100 = 0 THEN ' zebra' ELSE '' END
            || CASE WHEN hashint8(n + 3) %% 1000 = 0 THEN ' walrus' ELSE '' END
            || CASE WHEN hashint8(n + 4) %% 10000 = 0 THEN ' ibexes' ELSE '' END || '-' || n || '.pdf' AS name
    FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n) AS made
"""
_FILL_VERSIONS = """
INSERT INTO object_versions (bucket, key, version_id, put_rank, held_object, size, etag, stored_at, media_type)
SELECT bucket, key, version_id, rank, true, size, etag, stored_at, media_type FROM files AS f
WHERE state = 'stored' AND NOT EXISTS (SELECT FROM object_versions AS v WHERE v.bucket = f.bucket AND v.key = f.key)
ORDER BY bucket, key
"""
_FILL_EVENTS = """
INSERT INTO file_events (bucket, key, rank, version_id, event_time, change, event_name, sequencer, size, etag, recorded_at)
SELECT bucket, key, put_rank, version_id, CAST(:noon AS timestamptz), 'put', 'ObjectCreated:Put', '', size, etag, stored_at
FROM object_versions AS v WHERE NOT EXISTS (SELECT FROM file_events AS e WHERE e.bucket = v.bucket AND e.key = v.key)
ORDER BY bucket, key
"""
_INDEX = """
INSERT INTO file_search (file_id, words, document)
SELECT id, lower(words), to_tsvector('simple', words) FROM (
    SELECT id, regexp_replace(concat_ws(' ', name, key, array_to_string(tags, ' '), metadata ->> 'author'),
        '[^[:alnum:]]+', ' ', 'g') AS words
    FROM files WHERE NOT EXISTS (SELECT FROM file_search WHERE file_id = id)) AS w
"""
# All that no constraint needs.
_INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('files', 'object_versions', 'file_search') AND schemaname = current_schema()
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
"""
_TABLES = ("files", "object_versions", "file_events", "file_search")


def run() -> Iterator[Figure]:
    """Measure; the files of this process's database are replaced by generated ones."""
    engine = plain_engine()
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE files, object_versions, file_events, search_queue CASCADE"))
        connection.execute(text(_MEMBERS))
    _grow(engine, 1, FILES // 10)
    before = [_measure(*case[1:]) for case in CASES]
    _grow(engine, FILES // 10 + 1, FILES)
    for (name, *case), small in zip(CASES, before, strict=True):
        large = _measure(*case)
        yield Figure(
            f"The widest questions at {FILES:,} files", f"{name}: p50, p99", _shown(large),
            f"at {FILES // 10:,} files", _shown(small), median(large) / median(small), "p99 < 100 ms",
        )  # fmt: skip
    yield from record_among(FILES)


def _grow(engine: Engine, first: int, last: int) -> None:
    """Add files with their words, versions and events, with nothing queued. Building indexes anew is faster for so many."""
    with engine.begin() as connection:
        connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        connection.execute(text("SET LOCAL work_mem = '256MB'"))
        connection.execute(text("ALTER TABLE files DISABLE TRIGGER USER"))
        indexes = connection.execute(text(_INDEXES)).all()
        for name, _ in indexes:
            connection.execute(text(f"DROP INDEX {name}"))
        connection.execute(text(_FILL), {"first": first, "last": last, "bucket": runtime.settings().bucket})
        connection.execute(text(_INDEX))
        connection.execute(text(_FILL_VERSIONS))
        connection.execute(text(_FILL_EVENTS), {"noon": NOON})
        connection.execute(text("ALTER TABLE files ENABLE TRIGGER USER"))
        for _, definition in indexes:
            connection.exec_driver_sql(definition)
    vacuum(engine, *_TABLES)


def _measure(path: str, query: str, user_id: str | None) -> list[float]:
    """Seconds of `ROUNDS` answers, after some that don't count."""
    values = [part.split("=", 1) for part in query.split("&") if part]
    request = _request({}) | {"multiValueQueryStringParameters": {name: [value] for name, value in values}}
    request["requestContext"]["resourcePath"] = path
    if user_id:
        request["headers"]["X-Landfall-User"] = user_id
    answer: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        taken = [seconds(lambda: answer.update(_answer(request))) for _ in range(ROUNDS + 5)][5:]
    assert answer["statusCode"] == 200, answer
    return taken


def _shown(taken: list[float]) -> str:
    return f"{median(taken) * 1000:.0f} ms, {quantiles(taken, n=100)[98] * 1000:.0f} ms"
