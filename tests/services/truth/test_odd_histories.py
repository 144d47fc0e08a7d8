"""Keys of which all versions went at once, buckets that kept versions for a while, and keys that S3 refuses to tell of."""

from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, text

from chalicelib import runtime
from chalicelib.db import migrate
from chalicelib.errors import Refused
from chalicelib.services.context import Context
from chalicelib.services.removal import trash
from chalicelib.store.versions import Versions
from tests.support.aws import make_bucket, set_versioning
from tests.support.notifications import body, s3_record
from tests.support.recording import deliver_messages
from tests.support.repairing import assert_right, repair, tell

_numbers = count()


@pytest.fixture(params=[True, False], ids=["versioned", "plain"])
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = f"odd-{next(_numbers)}"
    make_bucket(s3, name, versioned=request.param)
    return name


def tell_of_purge(engine: Engine, bucket: str, key: str, sequencer: str) -> None:
    """As MinIO does when a lifecycle rule has removed all versions of a key."""
    record = s3_record("s3:ObjectRemoved:DeleteAllVersions", key, bucket=bucket, sequencer=sequencer)
    by_a_rule = {**record, "eventSource": "minio:s3", "source": {"userAgent": "Internal: [ILM-Expiry]"}}
    deliver_messages(engine, [body(by_a_rule)], runtime.now())


@pytest.mark.parametrize("is_known", [True, False])
def test_what_comes_after_all_versions_went_is_there(
    ctx: Context, engine: Engine, s3: Any, bucket: str, is_known: bool
) -> None:
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    if is_known:
        tell(engine, bucket, "k", put, "0A")
    s3.delete_object(Bucket=bucket, Key="k", **({"VersionId": put["VersionId"]} if "VersionId" in put else {}))
    tell_of_purge(engine, bucket, "k", "0C")
    assert_right(engine, s3, bucket)

    s3.put_object(Bucket=bucket, Key="k", Body=b"22")  # nobody tells of it
    assert repair(ctx, bucket).recorded == 1
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0

    later = s3.put_object(Bucket=bucket, Key="k", Body=b"333")
    tell(engine, bucket, "k", later, "0D", size=3)
    assert_right(engine, s3, bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    repair(ctx, bucket)
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0


def test_a_key_that_was_taken_for_gone_for_ever_is_back_after_a_migration_and_a_repair(
    ctx: Context, engine: Engine, s3: Any
) -> None:
    """As releases before recorded MinIO's event."""
    bucket = f"odd-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=True)
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"1")
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO object_versions (bucket, key, version_id, put_rank, removal_rank, is_delete_marker, held_object)
                VALUES (:bucket, 'k', '*', '0A!', '~', true, false)"""),
            {"bucket": bucket},
        )
    tell(engine, bucket, "k", put, "0B")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0034'"))
    migrate.upgrade(engine)
    repair(ctx, bucket)
    assert_right(engine, s3, bucket)
    assert repair(ctx, bucket).drift == 0

    # It lives and dies as any other.
    s3.delete_object(Bucket=bucket, Key="k", VersionId=put["VersionId"])
    tell(engine, bucket, "k", put, "0C", "ObjectRemoved:Delete")
    assert_right(engine, s3, bucket)
    tell(engine, bucket, "k", s3.put_object(Bucket=bucket, Key="k", Body=b"22"), "0D", size=2)
    assert_right(engine, s3, bucket)
    s3.delete_object(Bucket=bucket, Key="k")
    repair(ctx, bucket)
    assert_right(engine, s3, bucket)
    with engine.connect() as connection:
        file_id = connection.execute(text("SELECT id FROM files WHERE bucket = :b"), {"b": bucket}).scalar_one()
    trash.purge(ctx, file_id)
    assert "Versions" not in s3.list_object_versions(Bucket=bucket)
    assert repair(ctx, bucket).drift == 0


@pytest.mark.parametrize("is_deleted", [True, False])
def test_a_version_that_followed_another_object_does_not_hide_the_one_in_its_place(
    ctx: Context, engine: Engine, s3: Any, is_deleted: bool
) -> None:
    bucket = f"odd-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=False)
    tell(engine, bucket, "k", s3.put_object(Bucket=bucket, Key="k", Body=b"1"), "0A", time=runtime.now())
    set_versioning(s3, bucket, "Enabled")
    s3.delete_object(Bucket=bucket, Key="k") if is_deleted else s3.put_object(Bucket=bucket, Key="k", Body=b"22")
    repair(ctx, bucket)  # which has it follow the object without an id
    assert_right(engine, s3, bucket)

    set_versioning(s3, bucket, "Suspended")
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"333")
    later = s3.head_object(Bucket=bucket, Key="k")["LastModified"].replace(year=2099)
    tell(engine, bucket, "k", put | {"VersionId": "null"}, "0C", size=3, time=later)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT state, size FROM files WHERE bucket = :b"), {"b": bucket}).one()
    assert tuple(found) == ("stored", 3)


def test_one_key_that_s3_refuses_to_tell_of_keeps_no_audit_from_its_end(
    ctx: Context, engine: Engine, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = f"odd-{next(_numbers)}"
    make_bucket(s3, bucket, versioned=False)
    later = runtime.now().replace(year=2099)
    for key in ("a", "z"):
        tell(engine, bucket, key, s3.put_object(Bucket=bucket, Key=key, Body=b"1"), "0A", time=later)
    s3.put_object(Bucket=bucket, Key="a", Body=b"22")
    s3.delete_object(Bucket=bucket, Key="z")
    holds = Versions.holds

    def refuse(self: Versions, bucket: str, key: str, *what: Any) -> bool:
        if key == "a":
            raise Refused("The object store could not read it.", "AccessDenied")
        return holds(self, bucket, key, *what)

    with monkeypatch.context() as patch:
        patch.setattr(Versions, "holds", refuse)
        audit = repair(ctx, bucket)
    assert (audit.state, audit.gone, audit.recorded) == ("done", 1, 1)
    with engine.connect() as connection:
        of_audit = text("SELECT key, kind FROM audit_findings WHERE audit_id = :id ORDER BY key")
        assert [tuple(row) for row in connection.execute(of_audit, {"id": audit.id})] == [
            ("a", "unsure"),
            ("z", "gone"),
        ]
    repair(ctx, bucket)
    assert_right(engine, s3, bucket)
