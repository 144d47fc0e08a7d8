"""What two clients do at once: the one's step comes between two of the other's."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from chalicelib import runtime
from chalicelib.errors import StoreUnavailable
from chalicelib.services import files, moving
from chalicelib.services.job_steps import run_job
from tests.crash.conftest import Ground
from tests.crash.world import World


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


def test_purging_a_moved_file_takes_nothing_that_others_put_at_its_old_key(world: World) -> None:
    """They put it between the move's copy and its exchange, and its event comes after."""
    if not world.is_versioned:
        return  # there it is a change of the file

    def move() -> str:
        copier, put = runtime.store().copier, []
        _after(copier, "copy", lambda: put.append(_put(world, world.file["key"])))
        world.move()
        return str(put[0])

    others = world.done(move)
    world.deliver()
    world.done(world.delete)
    world.deliver()
    world.done(world.empty_trash)
    world.deliver()
    assert world.in_bucket()[world.file["key"]] == others


def test_a_deletion_beside_a_move_deletes_the_file_and_nobody_elses(world: World) -> None:
    def delete() -> str:
        def meanwhile() -> None:
            world.move()
            put.append(_put(world, world.file["key"]))

        put: list[str] = []
        _before_first(runtime.store(), "delete_if", meanwhile)
        world.delete()
        return put[0]

    others = world.done(delete)
    world.deliver()
    there = world.in_bucket()
    assert world.new_key not in there
    assert there[world.file["key"]] == others
    states = {str(row.id): row.state for row in world._rows()}
    assert states[world.file["id"]] == "deleted"


def test_a_new_name_given_during_a_move_stays(world: World) -> None:
    def move() -> str:
        with runtime.transaction() as session:
            file_id = UUID(world.file["id"])
            job = moving.begin_move(
                session, runtime.settings(), world.user, file_id, world.new_key, None, runtime.now()
            )
        with runtime.transaction() as session:
            changes = files.FileChanges(name="renamed meanwhile")
            files.change_file(session, world.user, file_id, changes, runtime.now(), runtime.settings())
        run_job(runtime.transaction, runtime.store(), runtime.settings(), runtime.now, job.id, 5.0)
        with runtime.transaction() as session:
            file = files.get_file(session, world.user, file_id)
            return f"{file['name']} at {file['key']}"

    assert world.done(move) == f"renamed meanwhile at {world.new_key}"


def test_what_others_put_at_an_old_key_goes_to_the_trash_when_it_is_deleted(world: World) -> None:
    world.done(world.move)
    world.deliver()
    world.put(world.file["key"])
    world.deliver()
    world.s3.delete_object(Bucket=world.bucket, Key=world.file["key"])
    world.deliver()
    [row] = [row for row in world._rows() if row.key == world.file["key"]]
    assert (row.state, row.moved_to) == ("deleted", None)


def test_a_bucket_that_is_gone_deletes_no_file(world: World) -> None:
    def delete() -> str:
        store = runtime.store()
        try:
            store.delete("no-such-bucket", "key")
        except StoreUnavailable as error:
            return str(error)
        return "deleted"

    assert (
        world.done(delete) == "The object store could not delete an object of no-such-bucket: there is no such bucket."
    )


def _put(world: World, key: str) -> str:
    """As another client; in a fork, by the fork's own store."""
    return runtime.store().put(world.bucket, key, b"another client's", "text/plain").etag
