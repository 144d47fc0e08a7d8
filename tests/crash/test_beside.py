"""What two clients do at once: the one's step comes between two of the other's."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.db.history import list_versions
from chalicelib.errors import StoreUnavailable
from chalicelib.services.files.editing import FileChanges, change_file
from chalicelib.services.files.reading import get_file
from chalicelib.services.jobs.undelete import begin_undelete, outcomes_of
from chalicelib.services.removal import bulk, trash
from tests.support.crash_world import Ground, World

# Without versions there is nothing to show here: what others put at a key is a change of the file.
WITH_VERSIONS = pytest.mark.parametrize("world", [True], indirect=True, ids=["versioned"])


@pytest.fixture(params=[True, False], ids=["versioned", "plain"])
def world(ground: Ground, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> World:
    world = ground.world(request.param, monkeypatch)
    world.deliver()
    return world


def _after(owner: Any, name: str, then: Callable[[], None]) -> None:
    """In a fork: have something happen after each call of a method."""
    method = getattr(owner, name)

    def called(*arguments: Any, **options: Any) -> Any:
        answer = method(*arguments, **options)
        then()
        return answer

    setattr(owner, name, called)


def _before_first(owner: Any, name: str, first: Callable[[], None]) -> None:
    """In a fork: have something happen before the first call of a method."""
    method = getattr(owner, name)

    def called(*arguments: Any, **options: Any) -> Any:
        setattr(owner, name, method)
        first()
        return method(*arguments, **options)

    setattr(owner, name, called)


@WITH_VERSIONS
def test_purging_a_moved_file_removes_nothing_that_others_put_at_its_old_key(world: World) -> None:
    """They put it between the move's copy and its exchange, and its event comes after."""

    def move() -> str:
        copier, put = runtime.store().copier, []
        _after(copier, "copy", lambda: put.append(_put(world, world.file.key)))
        world.move()
        return str(put[0])

    others = world.done(move)
    world.deliver()
    world.done(world.delete)
    world.deliver()
    world.done(world.empty_trash)
    world.deliver()

    assert world.in_bucket()[world.file.key] == others


def test_a_purge_beside_a_put_leaves_what_was_put(world: World) -> None:
    """Its event is recorded after the purge has found nothing more to remove, and before it takes the key's lock."""
    world.done(world.delete)
    world.deliver()

    def purge() -> dict[str, str]:
        def put() -> None:
            world.put(world.file.key)
            world.deliver()

        _before_first(trash, "lock_files", put)
        world.empty_trash()
        return world.others

    world.others = world.done(purge)
    assert world.others
    world.deliver()
    assert world.wrong() == []
    with world.engine.connect() as connection:
        purged = text("SELECT state, purged_at FROM files WHERE id = :id")
        assert tuple(connection.execute(purged, {"id": world.file.id}).one()) == ("stored", None)


def test_a_deletion_beside_a_move_deletes_the_file_and_nobody_elses(world: World) -> None:
    def delete() -> str:
        def meanwhile() -> None:
            world.move()
            put.append(_put(world, world.file.key))

        put: list[str] = []
        _before_first(runtime.store().deleter, "delete_if", meanwhile)
        world.delete()
        return put[0]

    others = world.done(delete)
    world.deliver()

    there = world.in_bucket()
    assert world.new_key not in there
    assert there[world.file.key] == others

    states = {row.id: row.state for row in world.rows()}
    assert states[world.file.id] == "deleted"


@pytest.mark.parametrize("begun", [True, False], ids=["begun before", "begun meanwhile"])
def test_a_deletion_of_many_beside_a_move_deletes_the_file_and_nobody_elses(world: World, begun: bool) -> None:
    def delete() -> Any:
        def meanwhile() -> None:
            if begun:
                world.work_on(job_id)
            else:
                world.move()
            put.append(_put(world, world.file.key))

        put: list[str] = []
        job_id = world.begin_move() if begun else None
        _before_first(runtime.store().deleter, "delete_many", meanwhile)
        outcomes = bulk.delete_files(world.context(), [file.id for file in world.files])
        return [*put, *[outcome.error for outcome in outcomes]]

    others, *errors = world.done(delete)
    assert errors == [None, None, None]

    world.deliver()
    there = world.in_bucket()
    assert world.new_key not in there

    states = {row.id: row.state for row in world.rows()}
    assert {states[file.id] for file in world.files} == {"deleted"}
    if begun:  # a store that takes ETags in a deletion of many keeps it in the other case, too
        assert there[world.file.key] == others


@WITH_VERSIONS
def test_a_file_that_an_unknown_delete_marker_hides_is_not_said_to_be_restored(world: World) -> None:
    world.done(world.delete)
    world.deliver()
    world.s3.delete_object(Bucket=world.bucket, Key=world.file.key)  # and its event is lost

    def restore() -> str:
        [begun] = begin_undelete(world.context(), [world.file.id])
        assert begun.job_id is not None
        world.work_on(begun.job_id)
        [outcome] = outcomes_of(world.context(), begun.job_id, [world.file.id])
        return str(outcome.error)

    assert "deleted it once more" in world.done(restore)
    assert world.done(restore) == "None"
    assert world.in_bucket()[world.file.key] == world.file.etag


@WITH_VERSIONS
def test_the_current_version_is_the_one_that_the_file_shows(world: World) -> None:
    """Also before the event of a restored one has come: what we saw ourselves ranks lower than the other's event."""
    world.s3.put_object(Bucket=world.bucket, Key=world.file.key, Body=b"a later version")
    world.deliver()
    world.done(world.restore)

    def current() -> Any:
        with world.context().transaction() as tx:
            file = get_file(tx, world.file.id)
            versions = json.loads(list_versions(tx.session, tx.scope, file.id, 10, None).items)
        return [file.version_id, [version["version_id"] for version in versions if version["is_current"]]]

    shown, marked = world.done(current)
    assert marked == [shown]


@WITH_VERSIONS
def test_a_file_moved_there_and_back_stays_whatever_event_comes_last(world: World) -> None:
    """The copy's own event is lost; that of the delete marker, which the first move left there, comes."""
    old = world.file.key
    world.done(world.move)
    waiting = world.take_events()
    world.new_key = old
    world.done(world.move)
    world.take_events()  # lost
    world.hand_over(waiting)

    [row] = [row for row in world.rows() if row.id == world.file.id]
    assert (row.key, row.state, row.etag) == (old, "stored", world.in_bucket()[old])


def test_a_name_given_during_a_move_stays(world: World) -> None:
    def move() -> str:
        job_id = world.begin_move()
        with world.context().transaction() as tx:
            change_file(tx, world.file.id, FileChanges(name="renamed meanwhile"))
        world.work_on(job_id)
        with world.context().transaction() as tx:
            file = get_file(tx, world.file.id)
            return f"{file.name} at {file.key}"

    assert world.done(move) == f"renamed meanwhile at {world.new_key}"


def test_an_object_that_others_put_at_an_old_key_goes_to_the_trash_when_deleted(world: World) -> None:
    world.done(world.move)
    world.deliver()
    world.put(world.file.key)
    world.deliver()
    world.s3.delete_object(Bucket=world.bucket, Key=world.file.key)
    world.deliver()

    [row] = [row for row in world.rows() if row.key == world.file.key]
    assert (row.state, row.moved_to) == ("deleted", None)


def test_a_deletion_in_a_missing_bucket_fails(world: World) -> None:
    def delete() -> str:
        store = runtime.store()
        try:
            store.deleter.delete("no-such-bucket", "key")
        except StoreUnavailable as error:
            return str(error)
        return "deleted"

    assert (
        world.done(delete) == "The object store could not delete an object of no-such-bucket: there is no such bucket."
    )


def _put(world: World, key: str) -> str:
    """As another client; in a fork, by the fork's own store."""
    return runtime.store().put(world.bucket, key, b"another client's", "text/plain").etag
