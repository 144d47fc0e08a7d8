"""Whom an object belongs to that is put straight into a bucket: decided while its event is recorded."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from chalicelib.catalog.notifications import parse_message
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.db.owner_rules import add_rule, assign_owners, find_unowned
from chalicelib.db.recording import prepare, record_changes
from chalicelib.db.scope import Owner
from chalicelib.db.usage import counted_usage
from chalicelib.db.users import delete_user
from chalicelib.runtime import now
from tests.support.notifications import NOON, body, s3_record

PUT, DELETE = "ObjectCreated:Put", "ObjectRemoved:Delete"
GONE = "state = 'deleted', version_id = NULL, size = NULL"
_buckets = count()


@pytest.fixture(scope="module")
def engine(database_url: str) -> Engine:
    return create_catalog_engine(database_url)


@pytest.fixture
def bucket() -> str:
    return f"drops-{next(_buckets)}"


def new_user(engine: Engine) -> UUID:
    user_id = uuid4()
    with transaction(engine) as session:
        row = "INSERT INTO users (id, name, created_at, updated_at) VALUES (:id, 'Ada', now(), now())"
        session.execute(text(row), {"id": user_id})
    return user_id


def rule(engine: Engine, bucket: str, prefix: str, user_id: UUID) -> None:
    with transaction(engine) as session:
        add_rule(session, bucket, prefix, user_id, now())


def drop(engine: Engine, bucket: str, *keys: str, event: str = PUT, sequencer: str = "01", size: int = 5) -> None:
    """Record the events of these keys in one batch, as `ingest` does."""
    records = [s3_record(event, key, bucket=bucket, sequencer=sequencer, size=size) for key in keys]
    with transaction(engine) as session:
        prepare(session, 5000)
        record_changes(session, parse_message(body(*records)), now())


def owners(engine: Engine, bucket: str) -> dict[str, Any]:
    with transaction(engine) as session:
        rows = session.execute(text("SELECT key, owner_id FROM files WHERE bucket = :bucket"), {"bucket": bucket})
        return {row.key: row.owner_id for row in rows}


def test_the_longest_prefix_wins_and_all_else_belongs_to_nobody(engine: Engine, bucket: str) -> None:
    ada, bea, cid = (new_user(engine) for _ in range(3))
    rule(engine, bucket, "scans/", ada)
    rule(engine, bucket, "scans/2026", bea)
    rule(engine, bucket, "scans/2026/é𝄞/", cid)
    rule(engine, "another-" + bucket, "", cid)

    drop(engine, bucket, "scans/a", "scans/2026-01", "scans/2026/é𝄞/x", "scans/2026/é", "scan", "Scans/a")
    assert owners(engine, bucket) == {
        "scans/a": ada, "scans/2026-01": bea, "scans/2026/é𝄞/x": cid, "scans/2026/é": bea, "scan": None, "Scans/a": None,
    }  # fmt: skip


def test_what_is_below_a_users_id_belongs_to_that_user(engine: Engine, bucket: str) -> None:
    ada, nobody = new_user(engine), uuid4()
    keys = [f"{ada}/a", f"{ada}/b/c", f"{nobody}/a", f"{str(ada).upper()}/a", f"{ada}", f"{ada}-/a", f"x/{ada}/a"]
    drop(engine, bucket, *keys)
    assert owners(engine, bucket) == dict.fromkeys(keys) | dict.fromkeys(keys[:2], ada)


def test_a_rule_goes_before_the_users_folder_only_if_it_is_no_shorter(engine: Engine, bucket: str) -> None:
    ada, bea, cid, dot = (new_user(engine) for _ in range(4))
    rule(engine, bucket, "", bea)
    rule(engine, bucket, f"{cid}/", bea)
    rule(engine, bucket, f"{ada}/given away/", dot)
    keys = [f"{ada}/own", f"{ada}/given away/x", f"{cid}/x", "anything"]
    drop(engine, bucket, *keys)
    assert [owners(engine, bucket)[key] for key in keys] == [ada, dot, bea, bea]


def test_a_file_that_is_known_keeps_its_owner_or_none(engine: Engine, bucket: str) -> None:
    ada, bea = new_user(engine), new_user(engine)
    drop(engine, bucket, "a/unowned")
    rule(engine, bucket, "a/", ada)
    drop(engine, bucket, "a/owned")
    rule(engine, bucket, "a/o", bea)

    drop(engine, bucket, "a/unowned", "a/owned", sequencer="02")
    drop(engine, bucket, "a/unowned", "a/owned", event=DELETE, sequencer="03")
    drop(engine, bucket, "a/unowned", "a/owned", sequencer="04")
    assert owners(engine, bucket) == {"a/unowned": None, "a/owned": ada}


def test_what_is_put_where_a_file_was_moved_away_is_a_new_one(engine: Engine, bucket: str) -> None:
    ada = new_user(engine)
    drop(engine, bucket, f"{ada}/a", "moved", f"{ada}/unowned")
    left = """UPDATE files SET state = 'deleted', version_id = NULL, size = NULL, owner_id = NULL, moved_to = (
        SELECT id FROM files WHERE bucket = :bucket AND key = 'moved') WHERE bucket = :bucket AND key = :key"""
    with transaction(engine) as session:
        session.execute(text(left), {"bucket": bucket, "key": f"{ada}/a"})
    drop(engine, bucket, f"{ada}/a", sequencer="02")
    assert owners(engine, bucket)[f"{ada}/a"] == ada
    with transaction(engine) as session:
        assert counted_usage(session, Owner(ada), [""]) == {"": (2, 10)}


def test_the_owners_usage_follows(engine: Engine, bucket: str) -> None:
    ada = new_user(engine)
    rule(engine, bucket, "a/", ada)
    drop(engine, bucket, *(f"a/{number}" for number in range(3)), "b", size=7)
    drop(engine, bucket, "a/0", event=DELETE, sequencer="02")
    with transaction(engine) as session:
        assert counted_usage(session, Owner(ada), [""]) == {"": (2, 14)}


@pytest.mark.parametrize("size", [1, 150])
def test_small_and_large_batches_ask_the_same_rules(engine: Engine, bucket: str, size: int) -> None:
    ada = new_user(engine)
    for number in range(120):
        rule(engine, bucket, f"{'x' * number}/", ada)
    drop(engine, bucket, *(f"{'x' * (number % 120)}/{number}" for number in range(size)))
    assert set(owners(engine, bucket).values()) == {ada}


def test_what_comes_while_its_owner_is_being_deleted_belongs_to_nobody(engine: Engine, bucket: str) -> None:
    ada = new_user(engine)
    rule(engine, bucket, "a/", ada)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            delete_user(session, ada)
            session.flush()
            recording = pool.submit(drop, engine, bucket, "a/1")
            _wait_for_a_lock(engine)
        with pytest.raises(DBAPIError):
            recording.result()
    drop(engine, bucket, "a/1")  # the message comes again
    assert owners(engine, bucket) == {"a/1": None}


def test_files_of_nobody_are_given_to_their_owners_in_pages(engine: Engine, bucket: str) -> None:
    ada, bea = new_user(engine), new_user(engine)
    drop(engine, bucket, "a/1", "a/2", "a/b/3", "c", f"{ada}/x")
    drop(engine, bucket, "a/2", event=DELETE, sequencer="02")
    with transaction(engine) as session:
        taken = text("UPDATE files SET owner_id = NULL WHERE bucket = :bucket")
        session.execute(taken, {"bucket": bucket})
    rule(engine, bucket, "a/", ada)
    rule(engine, bucket, "a/b/", bea)
    with transaction(engine) as session:
        first = find_unowned(session, bucket, "a/", "", 2)
        assert [file.key for file in first] == ["a/1", "a/2"]
        assert assign_owners(session, first, now()) == 2
        rest = find_unowned(session, bucket, "", "", 10)
        assert assign_owners(session, rest, now()) == 2
        assert assign_owners(session, [*first, *rest], now()) == 0, "once is enough"
    assert owners(engine, bucket) == {"a/1": ada, "a/2": ada, "a/b/3": bea, "c": None, f"{ada}/x": ada}


def test_what_moves_have_left_or_hold_is_not_given_away_nor_what_is_gone(engine: Engine, bucket: str) -> None:
    ada, held = new_user(engine), uuid4()
    drop(engine, bucket, "a/1", "a/left", "a/pending", "a/held", "a/gone", "a/trash")
    states = {
        "a/left": f"{GONE}, moved_to = (SELECT id FROM files WHERE key = 'a/1' LIMIT 1)",
        "a/pending": "state = 'pending', version_id = NULL, size = NULL",
        "a/held": f"id = '{held}'",
        "a/gone": f"{GONE}, purged_at = updated_at",
        "a/trash": GONE,
    }
    job = """INSERT INTO jobs (id, owner_id, kind, state, command, run_after, created_at, updated_at)
        SELECT gen_random_uuid(), :ada, 'move', 'running', CAST(:command AS jsonb), now(), now(), now()"""
    with transaction(engine) as session:
        for key, state in states.items():
            where = {"bucket": bucket, "key": key}
            session.execute(text(f"UPDATE files SET {state} WHERE bucket = :bucket AND key = :key"), where)
        session.execute(text(job), {"command": f'{{"placeholder": "{held}"}}', "ada": ada})
    rule(engine, bucket, "a/", ada)
    with transaction(engine) as session:
        found = find_unowned(session, bucket, "a/", "", 10)
        assert [file.key for file in found] == ["a/1", "a/held", "a/trash"]
        assert assign_owners(session, found, now()) == 2
    assert owners(engine, bucket) == dict.fromkeys(states) | {"a/1": ada, "a/trash": ada}


def test_what_lands_where_a_file_was_purged_is_a_new_one_for_whom_the_rule_says(engine: Engine, bucket: str) -> None:
    ada, bea = new_user(engine), new_user(engine)
    rule(engine, bucket, "", ada)
    keys = ["trash", "purged 1", "purged 2", "restored since", "Ada's"]
    drop(engine, bucket, *keys)
    drop(engine, bucket, *keys, event=DELETE, sequencer="02")
    purged = """UPDATE files SET purged_at = :noon, updated_at = CAST(:noon AS timestamptz)
        + CASE WHEN key = 'restored since' THEN interval '1 hour' ELSE interval '0' END
        WHERE bucket = :bucket AND key <> 'trash'"""
    with transaction(engine) as session:
        session.execute(text(purged), {"noon": NOON, "bucket": bucket})
        session.execute(
            text("UPDATE owner_rules SET user_id = :bea WHERE bucket = :bucket"), {"bea": bea, "bucket": bucket}
        )
    rule(engine, bucket, "Ada's", ada)
    before = _ids(engine, bucket)

    drop(engine, bucket, *keys, "new", sequencer="03")
    drop(engine, bucket, *keys, "new", sequencer="03")  # the message comes again
    expected = dict.fromkeys(keys, ada) | {"purged 1": bea, "purged 2": bea, "new": bea}
    assert owners(engine, bucket) == expected
    after = _ids(engine, bucket)
    assert {key for key in keys if after[key] != before[key]} == {"purged 1", "purged 2"}
    with transaction(engine) as session:
        assert counted_usage(session, Owner(bea), [""]) == {"": (3, 15)}


def test_what_was_removed_and_is_found_again_is_its_owners(engine: Engine, bucket: str) -> None:
    """An audit may find that a store has kept what it said it had removed."""
    ada, bea = new_user(engine), new_user(engine)
    rule(engine, bucket, "", ada)
    drop(engine, bucket, "a")
    drop(engine, bucket, "a", event=DELETE, sequencer="02")
    with transaction(engine) as session:
        later = "UPDATE files SET purged_at = updated_at WHERE bucket = :bucket"
        session.execute(text(later), {"bucket": bucket})
        session.execute(
            text("UPDATE owner_rules SET user_id = :bea WHERE bucket = :bucket"), {"bea": bea, "bucket": bucket}
        )
    drop(engine, bucket, "a", sequencer="03")  # stored before it was purged
    assert owners(engine, bucket) == {"a": ada}


def _ids(engine: Engine, bucket: str) -> dict[str, UUID]:
    with transaction(engine) as session:
        rows = session.execute(text("SELECT key, id FROM files WHERE bucket = :bucket"), {"bucket": bucket})
        return {row.key: row.id for row in rows}


def _wait_for_a_lock(engine: Engine) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    for _ in range(1000):
        with engine.connect() as connection:
            if connection.execute(waiting).scalar_one():
                return
            connection.execute(text("SELECT pg_sleep(0.01)"))
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("order", [("03", "04"), ("04", "03"), ("marker alone", "03", "04")])
def test_a_delete_marker_brings_back_nothing_that_was_removed_permanently(
    engine: Engine, bucket: str, order: tuple[str, ...]
) -> None:
    """What comes to the key, and is deleted at once, is in the trash of whom the rule says, in whatever order it is told."""
    ada, bea = new_user(engine), new_user(engine)
    rule(engine, bucket, "", ada)
    drop(engine, bucket, "a")
    drop(engine, bucket, "a", event=DELETE, sequencer="02")
    with transaction(engine) as session:
        session.execute(text("UPDATE files SET purged_at = updated_at WHERE bucket = :bucket"), {"bucket": bucket})
        session.execute(
            text("UPDATE object_versions SET removal_rank = '~' WHERE bucket = :bucket"), {"bucket": bucket}
        )
        session.execute(
            text("UPDATE owner_rules SET user_id = :bea WHERE bucket = :bucket"), {"bea": bea, "bucket": bucket}
        )
    put = s3_record(
        "ObjectCreated:Put", "a", bucket=bucket, version_id="n", sequencer="03", size=5, etag="n", time=now()
    )
    marker = "ObjectRemoved:DeleteMarkerCreated"
    records = {
        "03": put,
        "04": s3_record(marker, "a", bucket=bucket, version_id="m", sequencer="04", time=now()),
        "marker alone": s3_record(marker, "a", bucket=bucket, version_id="l", sequencer="025", time=now()),
    }
    if len(order) == 2:
        with transaction(engine) as session:
            record_changes(session, parse_message(body(*(records[name] for name in order))), now())
    else:
        for name in order:
            with transaction(engine) as session:
                record_changes(session, parse_message(body(records[name])), now())
            if name == "marker alone":
                assert owners(engine, bucket) == {"a": ada}
    assert owners(engine, bucket) == {"a": bea}
