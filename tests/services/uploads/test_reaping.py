"""What runs by the clock: uploads whose time is up, policies on what came, jobs, trash. Each survives a death anywhere."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.db.file_queries import find_file
from chalicelib.db.models import Job, User
from chalicelib.errors import NotFound, StoreUnavailable
from chalicelib.ids import uuid7
from chalicelib.services import arrivals, bulk, direct_uploads, folders, jobs, moving, reaping, trash, zips
from chalicelib.services.direct_uploads import Wanted
from chalicelib.services.enforcement import judge_uploads
from chalicelib.services.files import delete_found
from chalicelib.services.inspection import inspect_again, inspect_due
from chalicelib.services.job_steps import run_job
from chalicelib.services.principals import DEMO_USER_ID, Principal
from chalicelib.services.unfinished import measure_unfinished
from chalicelib.services.users import ensure_demo_user
from chalicelib.settings import Settings
from chalicelib.store import copying
from chalicelib.store.client import ObjectStore
from chalicelib.triggers import schedules
from dev.emulator import Emulator
from dev.infra import client
from dev.ports import free_port

DEMO = Principal(DEMO_USER_ID, "operator")
OPTIONS = Settings(bucket="reaped", upload_seconds=3600)


class World:
    """A bucket and a catalogue of their own, and what happens to uploads in them."""

    def __init__(self, url: str) -> None:
        self.s3 = client("s3", url, s3={"addressing_style": "path"})
        self.store = ObjectStore.connect("us-east-1", url, None)
        self.s3.create_bucket(Bucket="reaped")
        self.s3.put_bucket_versioning(Bucket="reaped", VersioningConfiguration={"Status": "Enabled"})

    def begin(self, **fields: Any) -> direct_uploads.Begun:
        wanted = Wanted(name="a", **fields)
        return direct_uploads.begin(runtime.transaction, self.store, OPTIONS, DEMO, wanted, runtime.now())

    def reap(self, hours: float) -> reaping.Reaped:
        """What is reaped when so many hours have gone by."""
        now = runtime.now() + timedelta(hours=hours)
        return reaping.reap_uploads(runtime.transaction, self.store, OPTIONS, now, 100)

    def file(self, begun: direct_uploads.Begun) -> Any:
        with runtime.transaction() as session:
            return find_file(session, UUID(begun.file["id"]), None)

    def uploads_at_s3(self) -> list[Any]:
        return self.s3.list_multipart_uploads(Bucket="reaped").get("Uploads", [])


@pytest.fixture(scope="module")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    emulator = Emulator(tmp_path_factory.mktemp("emulator"), free_port())
    emulator.start()
    yield emulator.url
    emulator.stop()


@pytest.fixture
def world(emulator_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("LANDFALL_DATABASE_URL", database_url)
    for cached in (runtime.settings, runtime.engine):
        cached.cache_clear()
    with runtime.transaction() as session:
        session.execute(text("DELETE FROM files"))
        session.execute(text("DELETE FROM object_versions"))
        ensure_demo_user(session)
    yield World(emulator_url)
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET limits = '{}'"))
    runtime.engine().dispose()
    for cached in (runtime.settings, runtime.engine):
        cached.cache_clear()


def test_an_upload_in_its_time_is_left_alone(world: World) -> None:
    begun = world.begin(size=5)
    assert world.reap(hours=0.9) == reaping.Reaped()
    assert world.file(begun)["state"] == "pending"


def test_an_abandoned_upload_becomes_a_tombstone_that_says_why(world: World) -> None:
    begun = world.begin(size=5)
    assert world.reap(hours=1.1) == reaping.Reaped(abandoned=1)
    file = world.file(begun)
    assert file["state"] == "deleted"
    assert "abandoned" in file["upload"]["problem"]
    assert world.reap(hours=9) == reaping.Reaped()


def test_a_request_of_no_announced_size_is_abandoned_soon_after_its_link_and_stored_if_its_bytes_come_late(
    world: World,
) -> None:
    """Uppy's: S3 may have refused it as too large, and nobody says so."""
    begun = world.begin()
    assert world.reap(hours=0.4) == reaping.Reaped()
    assert world.reap(hours=0.6) == reaping.Reaped(abandoned=1)
    assert world.file(begun)["state"] == "deleted"
    world.s3.put_object(Bucket="reaped", Key=begun.file["key"], Body=b"late")
    arrivals.record_if_there(runtime.transaction, world.store, begun.file, runtime.now())
    assert (world.file(begun)["state"], world.file(begun)["size"]) == ("stored", 4)


def test_an_object_whose_event_was_lost_is_found_before_it_is_reaped(world: World) -> None:
    begun = world.begin(size=5)
    world.s3.put_object(Bucket="reaped", Key=begun.file["key"], Body=b"bytes")
    assert world.reap(hours=1.1) == reaping.Reaped(found=1)
    file = world.file(begun)
    assert (file["state"], file["size"], file["upload"]) == ("stored", 5, None)


def test_a_multipart_upload_is_aborted_only_when_no_part_has_come_for_long(world: World) -> None:
    begun = world.begin(size=40_000_000, method="multipart")
    assert begun.plan is not None
    target = {"Bucket": "reaped", "Key": begun.file["key"], "UploadId": begun.plan.upload_id}
    with runtime.transaction() as session:  # it began long ago, and its part has come just now
        session.execute(text("UPDATE uploads SET expires_at = now() - interval '1 hour'"))
    world.s3.upload_part(**target, PartNumber=1, Body=b"x")
    assert world.reap(hours=0) == reaping.Reaped(going_on=1)
    assert world.reap(hours=0.9) == reaping.Reaped()
    assert len(world.uploads_at_s3()) == 1
    assert world.reap(hours=1.1) == reaping.Reaped(abandoned=1)
    assert world.uploads_at_s3() == []
    assert world.file(begun)["state"] == "deleted"


def test_a_multipart_upload_that_was_completed_behind_our_back_is_found(world: World) -> None:
    begun = world.begin(size=3, method="multipart")
    assert begun.plan is not None
    target = {"Bucket": "reaped", "Key": begun.file["key"], "UploadId": begun.plan.upload_id}
    part = world.s3.upload_part(**target, PartNumber=1, Body=b"xyz")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    world.s3.complete_multipart_upload(**target, MultipartUpload=parts)
    assert world.reap(hours=1.1) == reaping.Reaped(found=1)
    assert world.file(begun)["size"] == 3


def test_what_s3_does_not_answer_for_is_kept(world: World) -> None:
    begun = world.begin(size=3)
    world.store = ObjectStore.connect("us-east-1", "http://127.0.0.1:9", None)
    assert world.reap(hours=1.1) == reaping.Reaped(failed=1)
    assert world.file(begun)["state"] == "pending"


def arrive(world: World, limits: dict[str, Any], body: bytes, **wanted: Any) -> direct_uploads.Begun:
    """A member's upload that has come and was inspected."""
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET limits = CAST(:limits AS jsonb)"), {"limits": json.dumps(limits)})
    begun = world.begin(**wanted)
    world.s3.put_object(Bucket="reaped", Key=begun.file["key"], Body=body, ContentType=wanted.get("media_type") or "")
    file_id = UUID(begun.file["id"])
    arrivals.complete(runtime.transaction, world.store, OPTIONS, DEMO, file_id, None, runtime.now())
    inspect_due(runtime.transaction, world.store, runtime.now, 100)
    return begun


def judge(world: World) -> list[tuple[UUID, str]]:
    return judge_uploads(runtime.transaction, world.store, OPTIONS, runtime.now(), 100)


PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(200)


@pytest.mark.parametrize("refuses", [True, False])
def test_bytes_that_are_not_what_was_declared_are_flagged_and_refused_by_policy(world: World, refuses: bool) -> None:
    begun = arrive(world, {"refuse_mismatch": refuses}, PDF, size=len(PDF), media_type="image/png")
    file = world.file(begun)
    assert (file["media_type"], file["is_mismatch"]) == ("image/png", True)
    assert file["detected_media_type"] not in (None, "image/png")
    refused = judge(world)
    assert [file_id for file_id, _ in refused] == ([UUID(begun.file["id"])] if refuses else [])
    assert world.file(begun)["state"] == ("deleted" if refuses else "stored")
    if refuses:
        assert "declared to be image/png" in world.file(begun)["upload"]["problem"]
    assert judge(world) == []


def test_what_was_never_inspected_passes_no_policy_that_reads_bytes(world: World) -> None:
    """Nor is it refused, and its upload is kept, until it is inspected after all."""
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET limits = '{\"refuse_mismatch\": true}'"))
    begun = world.begin(size=len(PDF), media_type="image/png")
    world.s3.put_object(Bucket="reaped", Key=begun.file["key"], Body=PDF, ContentType="image/png")
    file_id = UUID(begun.file["id"])
    arrivals.complete(runtime.transaction, world.store, OPTIONS, DEMO, file_id, None, runtime.now())
    with runtime.transaction() as session:
        session.execute(
            text("UPDATE object_versions SET inspect_after = NULL, inspect_tries = 8, inspect_problem = 'Down.'")
        )
    assert judge(world) == []
    world.reap(hours=3)
    assert world.file(begun)["state"] == "stored"
    inspect_again(runtime.transaction, world.store, DEMO, file_id, runtime.now)
    assert [refused for refused, _ in judge(world)] == [file_id]


def test_of_unannounced_sizes_those_that_exceed_the_quota_go_and_the_older_ones_stay(world: World) -> None:
    begun = [arrive(world, {"max_bytes": 12}, bytes(5)) for _ in range(3)]
    assert [file_id for file_id, _ in judge(world)] == [UUID(begun[2].file["id"])]
    assert [world.file(one)["state"] for one in begun] == ["stored", "stored", "deleted"]


def test_a_refusal_that_s3_does_not_carry_out_is_tried_again(world: World) -> None:
    begun = arrive(world, {"max_file_bytes": 3}, bytes(5))
    working, world.store = world.store, ObjectStore.connect("us-east-1", "http://127.0.0.1:9", None)
    assert judge(world) == []
    world.store = working
    assert len(judge(world)) == 1
    assert world.file(begun)["state"] == "deleted"


class Died(BaseException):
    """The process ends here: nothing of it catches this."""


def stored(world: World, body: bytes = b"hello") -> UUID:
    begun = world.begin(size=len(body))
    world.s3.put_object(Bucket="reaped", Key=begun.file["key"], Body=body)
    file_id = UUID(begun.file["id"])
    arrivals.complete(runtime.transaction, world.store, OPTIONS, DEMO, file_id, None, runtime.now())
    return file_id


def found(file_id: UUID) -> Any:
    with runtime.transaction() as session:
        return find_file(session, file_id, None)


def run(world: World, job_id: UUID, minutes: float = 0) -> Any:
    """Work on a job as the clock does when so many minutes have gone by; what it is then."""

    def clock() -> datetime:
        return runtime.now() + timedelta(minutes=minutes)

    run_job(runtime.transaction, world.store, OPTIONS, clock, job_id, 5.0)
    with runtime.transaction() as session:
        return session.get_one(Job, job_id)


@pytest.mark.parametrize("dies_at", ["copy", "head", "delete_if", "nowhere"])
def test_a_move_that_dies_anywhere_is_finished_by_the_clock(
    world: World, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    file_id, key = stored(world), f"moved/{uuid4()}"
    before = found(file_id)
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, key, None, runtime.now())

    def die(*_: Any, **__: Any) -> None:
        raise Died

    with monkeypatch.context() as patch:
        if dies_at != "nowhere":
            patch.setattr(world.store.copier if dies_at == "copy" else world.store, dies_at, die)
            with pytest.raises(Died):
                run(world, job.id)
            assert run(world, job.id).state == "running"  # somebody else holds it
            assert found(file_id)["key"] == (key if dies_at == "delete_if" else before["key"])
    assert run(world, job.id, minutes=4).state == "done"
    after = found(file_id)
    assert (after["id"], after["key"], after["state"], after["created_at"]) == (
        before["id"], key, "stored", before["created_at"],
    )  # fmt: skip
    listed = world.s3.list_objects_v2(Bucket="reaped", Prefix=before["key"])
    assert listed["KeyCount"] == 0
    assert world.s3.get_object(Bucket="reaped", Key=key)["Body"].read() == b"hello"


def test_what_is_put_at_the_old_key_during_a_move_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id, key = stored(world), f"moved/{uuid4()}"
    old = found(file_id)["key"]
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, key, None, runtime.now())
    delete_if = world.store.delete_if

    def put_first(*arguments: Any) -> Any:
        world.s3.put_object(Bucket="reaped", Key=old, Body=b"somebody else's")
        return delete_if(*arguments)

    monkeypatch.setattr(world.store, "delete_if", put_first)
    assert run(world, job.id).state == "done"
    assert world.s3.get_object(Bucket="reaped", Key=old)["Body"].read() == b"somebody else's"
    assert found(file_id)["key"] == key


def test_a_job_whose_store_stays_away_fails_after_five_tries_and_gives_the_key_back(world: World) -> None:
    file_id, key = stored(world), f"moved/{uuid4()}"
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, key, None, runtime.now())
    world.store = ObjectStore.connect("us-east-1", "http://127.0.0.1:9", None)
    states = [run(world, job.id, minutes=20 * number).state for number in range(5)]
    assert states == ["queued"] * 4 + ["failed"]
    assert found(file_id)["state"] == "stored"
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE key = :key"), {"key": key}) == 0


def test_a_job_has_the_rights_that_its_owner_has_by_now(world: World) -> None:
    """An operator made it, for another's file, and is a member when it runs."""
    begun = arrive(world, {}, b"hello", size=5)
    other = uuid7(runtime.now())
    with runtime.transaction() as session:
        session.add(User(id=other, name="o", role="operator", created_at=runtime.now(), updated_at=runtime.now()))
        session.flush()
        job, _ = zips.begin_zip(session, Principal(other, "operator"), [UUID(begun.file["id"])], "a.zip", runtime.now())
        session.execute(text("UPDATE users SET role = 'member' WHERE id = :id"), {"id": other})
    run_job(runtime.transaction, world.store, OPTIONS, runtime.now, job.id, 5.0)
    with runtime.transaction() as session:
        ended = session.get_one(Job, job.id)
        assert (ended.state, ended.problem) == ("failed", f"There is no stored file {begun.file['id']}.")


def test_one_upload_that_cannot_be_aborted_keeps_no_other_from_being_measured(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET limits = '{\"max_bytes\": 1}'"))
    begun = [world.begin(method="multipart") for _ in range(3)]
    for one in begun:
        world.store.multipart.put_part("reaped", one.file["key"], one.plan.upload_id, 1, b"too much")
    abort, refused = world.store.multipart.abort, begun[0].file["key"]

    def abort_but_one(bucket: str, key: str, upload_id: str) -> None:
        if key == refused:
            raise StoreUnavailable("Access denied.")
        abort(bucket, key, upload_id)

    monkeypatch.setattr(world.store.multipart, "abort", abort_but_one)
    aborted = measure_unfinished(runtime.transaction, world.store, OPTIONS, runtime.now(), 100)
    assert {file_id for file_id, _ in aborted} == {UUID(one.file["id"]) for one in begun[1:]}
    monkeypatch.setattr(world.store.multipart, "abort", abort)
    assert len(measure_unfinished(runtime.transaction, world.store, OPTIONS, runtime.now(), 100)) == 1


@pytest.mark.parametrize("word", ["PreconditionFailed", "NoSuchKey", "ConditionalRequestConflict"])
def test_what_many_at_once_cannot_delete_is_deleted_by_itself(
    world: World, monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    begun = arrive(world, {}, b"hello", size=5)
    monkeypatch.setattr(world.store, "delete_many", lambda _bucket, names, _etags: [word] * len(names))
    outcomes = bulk.delete_files(runtime.transaction, world.store, DEMO, [UUID(begun.file["id"])], runtime.now())
    assert [outcome.error for outcome in outcomes] == [None]
    assert world.file(begun)["state"] == "deleted"


def test_deleting_many_while_s3_is_away_fails_each_by_itself(world: World) -> None:
    begun = world.begin(size=200_000_000)
    away = ObjectStore.connect("us-east-1", "http://127.0.0.1:9", None)
    ids = [UUID(begun.file["id"]), uuid7(runtime.now())]
    outcomes = bulk.delete_files(runtime.transaction, away, DEMO, ids, runtime.now())
    assert [type(outcome.error) for outcome in outcomes] == [StoreUnavailable, NotFound]
    assert world.file(begun)["state"] == "pending"
    outcomes = bulk.delete_files(runtime.transaction, world.store, DEMO, ids[:1], runtime.now())
    assert [outcome.error for outcome in outcomes] == [None]


def test_a_zip_that_is_cancelled_stops_and_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [stored(world) for _ in range(3)]
    with runtime.transaction() as session:
        job, _ = zips.begin_zip(session, DEMO, files, "a.zip", runtime.now())
    chunks, opened = world.store.chunks, []

    def cancel_at_the_second(*arguments: Any) -> Iterator[bytes]:
        opened.append(arguments)
        if len(opened) == 2:
            with runtime.transaction() as session:
                jobs.cancel_job(session, DEMO, job.id, runtime.now())
        return chunks(*arguments)

    monkeypatch.setattr(world.store, "chunks", cancel_at_the_second)
    ended = run(world, job.id)
    assert (ended.state, len(opened)) == ("cancelled", 2)
    assert world.uploads_at_s3() == []
    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE name = 'a.zip'")) == 0


def test_a_zip_of_many_parts_is_whole_and_expires(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    body = bytes(range(256)) * 40_000
    files = [stored(world, body), stored(world, b"small")]
    with runtime.transaction() as session:
        job, _ = zips.begin_zip(session, DEMO, files, "b.zip", runtime.now())
    ended = run(world, job.id)
    assert ended.state == "done"
    file = found(UUID(ended.result["file_id"]))
    data = world.s3.get_object(Bucket="reaped", Key=file["key"])["Body"].read()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("a") == body
    later = runtime.now() + timedelta(days=1, minutes=1)
    assert trash.delete_expired(runtime.transaction, world.store, later, 100) == 1
    assert found(UUID(ended.result["file_id"]))["state"] == "deleted"


def test_old_trash_is_purged_and_young_trash_is_not(world: World) -> None:
    file_id = stored(world)
    delete_found(runtime.transaction, world.store, file_id, runtime.now())
    options = OPTIONS.model_copy(update={"trash_days": 7})
    for days, purged in ((6, 0), (8, 1), (9, 0)):
        later = runtime.now() + timedelta(days=days)
        assert trash.purge_old(runtime.transaction, world.store, options, later, 100) == purged
    assert "Versions" not in world.s3.list_object_versions(Bucket="reaped", Prefix=found(file_id)["key"])


def test_a_folder_of_more_files_than_one_step_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [stored(world) for _ in range(5)]
    monkeypatch.setattr(folders, "_BATCH", 2)
    prefix = f"{DEMO_USER_ID}/"
    command = {"bucket": "reaped", "prefix": prefix, "until": (runtime.now() + timedelta(seconds=1)).isoformat()}
    with runtime.transaction() as session:
        job = jobs.create_job(session, DEMO, "delete_folder", command, runtime.now())
    ended = run(world, job.id)
    assert (ended.state, ended.progress["done"]) == ("done", 5)
    assert {found(file_id)["state"] for file_id in files} == {"deleted"}


def test_the_schedule_does_all_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "store", lambda: world.store)
    file_id = stored(world)
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, f"moved/{uuid4()}", None, runtime.now())
    done = schedules.work({}, None)
    assert done["jobs"] >= 1
    with runtime.transaction() as session:
        assert session.get_one(Job, job.id).state == "done"


def test_what_is_too_large_for_one_request_is_copied_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_PART_BYTES", 6 * 1024 * 1024)
    monkeypatch.setattr(copying, "part_size", lambda _: 0)
    body = bytes(range(256)) * 60_000
    file_id, key = stored(world, body), f"moved/{uuid4()}"
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, key, None, runtime.now())
    assert run(world, job.id).state == "done"
    copied = world.s3.get_object(Bucket="reaped", Key=key)
    assert copied["ETag"].endswith('-3"')
    assert copied["Body"].read() == body
    assert found(file_id)["size"] == len(body)


def test_a_copy_in_parts_that_fails_leaves_no_part_behind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "_PART_BYTES", 10)
    monkeypatch.setattr(copying.Copier, "_copy_part", lambda *_: 1 / 0)
    file_id, key = stored(world, bytes(100)), f"moved/{uuid4()}"
    with runtime.transaction() as session:
        job = moving.begin_move(session, OPTIONS, DEMO, file_id, key, None, runtime.now())
    ended = run(world, job.id)
    assert (ended.state, world.uploads_at_s3()) == ("failed", [])
    assert "on our side" in ended.problem
    assert found(file_id)["key"] != key
