"""The whole `ingest` handler, from the dictionary of SQS messages to committed rows, against other ways to do it."""

import contextlib
import io
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import count
from statistics import median
from typing import Any

from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.orm import Session

from bench.figures import Figure, in_turn, plain_engine, seconds
from chalicelib import runtime
from chalicelib.catalog.notifications import parse_message
from chalicelib.db.models import ObjectVersion
from tests.support.notifications import NOON, body, s3_record, sqs_event

SIZES = (1, 10, 100, 1000)
ROUNDS = {1: 200, 10: 100, 100: 40, 1000: 15}
_GROUP = "Ingest"
_numbers = count()

TABLES = {
    "object_versions": "bucket, key, version_id, put_rank, removal_rank, held_object, is_delete_marker, follows, size, etag, "
    "stored_at, media_type, inspection, inspect_after, inspect_tries",
    "file_events": "bucket, key, rank, version_id, event_time, recorded_xid, change, event_name, sequencer, size, etag, "
    "recorded_at",
    "files": "id, bucket, key, name, state, owner_id, session_id, version_id, rank, size, etag, media_type, stored_at, metadata, "
    "tags, reserved, sha256, detected_media_type, is_mismatch, created_at, updated_at",
}


def run() -> Iterator[Figure]:
    """Measure; the catalogue's tables of this process's database are emptied first."""
    from app import ingest

    engine = runtime.engine()
    _empty(engine)
    for size in SIZES:
        yield _against_the_server(ingest, engine, size)
    yield _against_orm(ingest)
    yield _replay(ingest)


def messages(
    size: int, key_of: Callable[[int], str] = lambda number: f"bench/{number // 1000:05}/file {number:09}.bin"
) -> dict[str, Any]:
    """An event of ``size`` messages of one put each, all of keys that are new in this process. ``key_of``: a number's key."""
    bodies = []
    for number in (next(_numbers) for _ in range(size)):
        record = s3_record(
            "ObjectCreated:Put",
            key_of(number),
            bucket=runtime.settings().bucket,
            sequencer=f"{0x55AED6DC0000 + number:016X}",
            version_id=f"{number:032x}",
            size=number,
            etag=f"{number:032x}",
            time=NOON + timedelta(milliseconds=number % 86_400_000),
        )
        bodies.append(body(record))
    return sqs_event(*bodies)


def handle(ingest: Any, event: dict[str, Any]) -> None:
    """Have ``ingest`` record an event, and lose its logs."""
    with contextlib.redirect_stdout(io.StringIO()):
        assert ingest(event, None) == {"batchItemFailures": []}


def _against_the_server(ingest: Any, engine: Engine, size: int) -> Figure:
    """Against the server's limit: its own INSERT … SELECT … ON CONFLICT of the same rows, from staged tables."""
    rounds = ROUNDS[size]
    events = [messages(size) for _ in range(rounds + 1)]
    waiting = iter(events)
    staged = iter(stage(ingest, engine, size, rounds + 1))
    mine, limit = in_turn(lambda: handle(ingest, next(waiting)), lambda: insert_select(engine, next(staged)), rounds)
    return Figure(
        _GROUP,
        f"events a second, batches of {size:,}",
        f"{size / median(mine):,.0f}",
        "server's own INSERT … SELECT of the same rows",
        f"{size / median(limit):,.0f}",
        median(limit) / median(mine),
        "≥ 0.60" if size == 1000 else "",
    )


def stage(ingest: Any, engine: Engine, size: int, batches: int) -> list[int]:
    """Rows as the handler makes them, moved out of the way into tables that the baseline reads them from."""
    numbers = []
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"DROP TABLE IF EXISTS staged_{table}"))
            connection.execute(text(f"CREATE TABLE staged_{table} AS SELECT *, 0 AS batch FROM {table} LIMIT 0"))
    for number in range(batches):
        event = messages(size)
        handle(ingest, event)
        keys = [parse_message(record["body"])[0].key for record in event["Records"]]
        with engine.begin() as connection:
            for table, columns in TABLES.items():
                move = f"""WITH moved AS (DELETE FROM {table} WHERE key = ANY(:keys) RETURNING {columns})
                    INSERT INTO staged_{table} ({columns}, batch) SELECT {columns}, :batch FROM moved"""
                connection.execute(text(move), {"keys": keys, "batch": number})
            # Else the trigger on files would meet its own rows of before.
            connection.execute(text("TRUNCATE search_queue"))
        numbers.append(number)
    with engine.begin() as connection:
        for table in TABLES:
            connection.execute(text(f"CREATE INDEX ON staged_{table} (batch)"))
    vacuum(engine, *TABLES, *(f"staged_{table}" for table in TABLES))
    return numbers


def insert_select(engine: Engine, batch: int) -> None:
    with engine.begin() as connection:
        for table, columns in TABLES.items():
            connection.execute(
                text(
                    f"INSERT INTO {table} ({columns}) SELECT {columns} FROM staged_{table} WHERE batch = :batch "
                    "ON CONFLICT DO NOTHING"
                ),
                {"batch": batch},
            )


def _against_orm(ingest: Any) -> Figure:
    """Against what people write first: an ORM merge and a commit for each event, on the driver as it comes. One table only.

    That takes seconds, and virtual machines may lay memory aside that nobody touches for so long: on one, 200 MB were read in
    27 ms, and in 670 ms after a pause of three seconds. So batches that aren't measured go before each that is.
    """
    size = 1000
    plain = plain_engine()

    rounds, unmeasured = 5, 5
    events = [messages(size) for _ in range((unmeasured + 2) * rounds + 2)]

    def merge_each(event: dict[str, Any]) -> None:
        for record in event["Records"]:
            (change,) = parse_message(record["body"])
            with Session(plain) as session:
                row = ObjectVersion(
                    bucket=change.bucket, key=change.key, version_id=change.version_id, put_rank=change.rank,
                    size=change.size, etag=change.etag, stored_at=change.event_time, is_delete_marker=False,
                    held_object=True, removal_rank="",
                )  # fmt: skip
                session.merge(row)
                session.commit()

    handle(ingest, events.pop()), merge_each(events.pop())
    mine, orm = [], []
    for _ in range(rounds):
        for _ in range(unmeasured):
            handle(ingest, events.pop())
        mine.append(seconds(lambda: handle(ingest, events.pop())))
        orm.append(seconds(lambda: merge_each(events.pop())))
    return Figure(
        _GROUP,
        "events a second, batches of 1,000",
        f"{size / median(mine):,.0f}",
        "ORM merge and commit for each event",
        f"{size / median(orm):,.0f}",
        median(orm) / median(mine),
        "≥ 40",
    )


def _replay(ingest: Any) -> Figure:
    event = messages(1000)
    handle(ingest, event)
    again = [seconds(lambda: handle(ingest, event)) for _ in range(10)]
    return Figure(_GROUP, "events a second, batches of 1,000 already seen", f"{1000 / median(again):,.0f}")


def vacuum(engine: Engine, *tables: str) -> None:
    """VACUUM ANALYZE, so that neither side pays for the other's dead rows or meets stale statistics."""
    idle = create_engine(engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with idle.connect() as connection:
        for table in tables:
            connection.execute(text(f"VACUUM ANALYZE {table}"))


def _empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("TRUNCATE files, object_versions, file_events, search_queue CASCADE"))
