"""A page of 100 files of a million, and one of them, through the whole Lambda handler in process.

The baseline is the bare statement, as pg8000 runs it: in a transaction that is open already, parsed and planned each time, with
every row fetched.
"""

import contextlib
import io
import json
from collections.abc import Iterator
from statistics import median
from typing import Any

from sqlalchemy import text

from bench.figures import Figure, in_turn, milliseconds, plain_engine
from bench.ingest import vacuum
from chalicelib import runtime
from tests.support.statements import Sent, noting_statements

ROWS = 1_000_000
DEPTH = 10_000
ROUNDS = 60
SORTS = ("created", "updated", "name", "size")

# Ids sort by creation, as UUIDv7 does. Names, sizes and times have an order of their own.
_FILL = """
INSERT INTO files (id, bucket, key, name, state, version_id, rank, size, etag, media_type, stored_at, created_at, updated_at)
SELECT CAST(lpad(to_hex(1763900000000 + n), 12, '0') || '70008' || lpad(to_hex(n), 15, '0') AS uuid),
    :bucket, 'list/' || n, 'name-' || md5(n::text), 'stored', md5(n::text), lpad(to_hex(n), 18, '0') || '!',
    hashint8(n)::bigint + 2147483648, md5(n::text), 'application/pdf', to_timestamp(1763900000 + n / 1000.0),
    to_timestamp(1763900000 + n / 1000.0), to_timestamp(1763900000 + abs(hashint8(n)) / 1000.0)
FROM generate_series(1, :rows) AS n
"""


def run() -> Iterator[Figure]:
    """Measure; the files of this process's database are replaced by a million generated ones."""
    engine = runtime.engine()
    with plain_engine().begin() as connection:
        connection.execute(text("TRUNCATE files, object_versions, file_events, search_queue CASCADE"))
        connection.execute(text(_FILL), {"rows": ROWS, "bucket": runtime.settings().bucket})
    vacuum(engine, "files")
    for sort in SORTS:
        first = {"sort": sort, "limit": "100"}
        yield _measure(f"by {sort}, first page", _list_request(first))
        deep = first | {"cursor": _cursor_at_depth(sort)}
        yield _measure(f"by {sort}, {DEPTH:,} deep", _list_request(deep))
    (file,) = _get(_list_request({"limit": "1"}))["items"]
    path = {"pathParameters": {"file_id": file["id"]}}
    yield _measure("one file", _request("/api/files/{file_id}", **path))
    unfollowed = {"multiValueQueryStringParameters": {"redirect": ["false"]}}
    yield _measure("link to one file", _request("/api/files/{file_id}/download", **path, **unfollowed))


def _measure(name: str, request: dict[str, Any]) -> Figure:
    statement, parameters = _statement_of(request)
    with plain_engine().connect() as connection:
        cursor = connection.connection.cursor()

        def bare() -> object:
            cursor.execute(statement, parameters)
            return cursor.fetchall()

        with contextlib.redirect_stdout(io.StringIO()):
            whole, alone = in_turn(lambda: _answer(request), bare, ROUNDS)
    ratio = median(whole) / median(alone)
    return Figure(
        "Page of 100 of 1,000,000 files", name, milliseconds(whole),
        "bare statement", milliseconds(alone), ratio, "p50 < 3 ms, ≤ 1.6",
    )  # fmt: skip


def _statement_of(request: dict[str, Any]) -> Sent:
    """What a request asks of the table of files, as the driver gets it."""
    with noting_statements() as sent:
        _get(request)
    return [statement for statement in sent if "FROM files" in statement[0]][-1]


def _cursor_at_depth(sort: str) -> str:
    query = {"sort": sort, "limit": "1000"}
    page: dict[str, Any] = {}
    for _ in range(DEPTH // 1000):
        page = _get(_list_request(query))
        query["cursor"] = page["next_cursor"]
    return str(page["next_cursor"])


def _get(request: dict[str, Any]) -> dict[str, Any]:
    with contextlib.redirect_stdout(io.StringIO()):
        answer = _answer(request)
    assert answer["statusCode"] == 200, answer
    found: dict[str, Any] = json.loads(answer["body"])
    return found


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    from app import app

    answer: dict[str, Any] = app(request, None)
    return answer


def _list_request(query: dict[str, str]) -> dict[str, Any]:
    return _request("/api/files", multiValueQueryStringParameters={name: [value] for name, value in query.items()})


def _request(path: str, **parts: Any) -> dict[str, Any]:
    """A GET as API Gateway hands it to the Lambda."""
    return {
        "requestContext": {"httpMethod": "GET", "resourcePath": path, "requestId": "bench"},
        "headers": {"accept": "application/json", "host": "localhost"},
        "multiValueQueryStringParameters": None,
        "pathParameters": {},
        "stageVariables": {},
        "body": None,
        "isBase64Encoded": False,
        **parts,
    }
