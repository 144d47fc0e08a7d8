"""Zips as jobs: rights, cancelling, many parts, and the end of their time."""

import io
import zipfile
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.db.models import User
from chalicelib.errors import DatabaseUnavailable, StoreUncertain
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.jobs import queue, zip
from chalicelib.services.jobs.queue import Work, cancel_job
from chalicelib.services.jobs.zip import begin_zip
from chalicelib.services.removal import trash
from tests.support.backend import Backend
from tests.support.dying import Died, die


def test_a_job_has_the_rights_that_its_owner_has_when_it_runs(backend: Backend) -> None:
    """An operator began it, with a file of somebody else, and is a member by now."""
    file_id = backend.store_file()
    other = uuid7(runtime.now())
    with runtime.transaction() as session:
        session.add(User(id=other, name="o", role="operator", created_at=runtime.now(), updated_at=runtime.now()))
    job, _ = begin_zip(backend.context(principal=Principal(other, "operator")), [file_id], "a.zip")
    with runtime.transaction() as session:
        session.execute(text("UPDATE users SET role = 'member' WHERE id = :id"), {"id": other})

    ended = backend.run(job.id)
    assert (ended.state, ended.problem) == ("failed", f"There is no stored file {file_id}.")


def test_a_cancelled_zip_stops_and_leaves_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [backend.store_file() for _ in range(3)]
    job, _ = begin_zip(backend.context(), files, "a.zip")
    chunks, opened = backend.store.chunks, []

    def cancel_at_the_second(*arguments: Any) -> Iterator[bytes]:
        opened.append(arguments)
        if len(opened) == 2:
            with backend.context().transaction() as tx:
                cancel_job(tx, job.id)
        return chunks(*arguments)

    monkeypatch.setattr(backend.store, "chunks", cancel_at_the_second)

    ended = backend.run(job.id)
    assert (ended.state, len(opened)) == ("cancelled", 2)
    assert backend.unfinished_uploads() == []

    with runtime.transaction() as session:
        assert session.scalar(text("SELECT count(*) FROM files WHERE name = 'a.zip'")) == 0


def test_a_zip_of_many_parts_is_whole_and_expires(backend: Backend) -> None:
    body = bytes(range(256)) * 40_000
    files = [backend.store_file(body), backend.store_file(b"small")]
    job, _ = begin_zip(backend.context(), files, "b.zip")

    ended = backend.run(job.id)
    assert ended.state == "done"
    zipped = UUID(ended.result["file_id"])
    with zipfile.ZipFile(io.BytesIO(backend.read(backend.file(zipped).key))) as archive:
        assert archive.testzip() is None
        assert archive.read("a") == body

    assert trash.delete_expired(backend.context(hours=24.1), 100) == 1
    assert backend.file(zipped).state == "deleted"


def test_a_zip_that_goes_on_after_an_outage_reserves_its_bytes_once(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is gone right after the zip's own file was added."""
    files = [backend.store_file(bytes(1000))]
    job, _ = begin_zip(backend.context(), files, "c.zip")
    save, saves = Work.save, []

    def fail_at_the_second(work: Any) -> None:
        saves.append(work)
        if len(saves) == 2:
            raise DatabaseUnavailable("Gone.")
        save(work)

    monkeypatch.setattr(Work, "save", fail_at_the_second)

    assert backend.run(job.id).state == "queued"
    assert backend.run(job.id, minutes=5).state == "done"
    with runtime.transaction() as session:
        states = session.scalars(text("SELECT state FROM files WHERE name = 'c.zip'")).all()
    assert states == ["stored"]


def _rows(name: str) -> list[str]:
    """The states of the files of this name."""
    with runtime.transaction() as session:
        return list(session.scalars(text("SELECT state FROM files WHERE name = :name"), {"name": name}))


def _cancel(backend: Backend, job_id: UUID) -> None:
    with backend.context().transaction() as tx:
        cancel_job(tx, job_id)


@pytest.mark.parametrize("dies_at", ["create", "put_part", "complete"])
def test_a_zip_whose_process_died_and_that_is_cancelled_then_leaves_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    job, _ = begin_zip(backend.context(), [backend.store_file()], "d.zip")
    with monkeypatch.context() as patch:
        patch.setattr(backend.store.multipart, dies_at, die)
        with pytest.raises(Died):
            backend.run(job.id)
    assert _rows("d.zip") == ["pending"]
    _cancel(backend, job.id)

    assert backend.run(job.id, minutes=4).state == "cancelled"
    assert (_rows("d.zip"), backend.unfinished_uploads()) == ([], [])


def test_a_zip_whose_process_dies_each_time_leaves_nothing(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    job, _ = begin_zip(backend.context(), [backend.store_file()], "e.zip")
    monkeypatch.setattr(backend.store.multipart, "complete", die)
    for number in range(5):
        with pytest.raises(Died):
            backend.run(job.id, minutes=4 * number)

    assert backend.run(job.id, minutes=20).state == "failed"
    assert (_rows("e.zip"), backend.unfinished_uploads()) == ([], [])


def test_a_zip_of_which_s3_never_says_that_it_is_there_leaves_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = begin_zip(backend.context(), [backend.store_file()], "f.zip")

    def say_nothing(*_: Any, **__: Any) -> None:
        raise StoreUncertain("No answer.")

    monkeypatch.setattr(backend.store.multipart, "complete", say_nothing)
    states = [backend.run(job.id, minutes=20 * number).state for number in range(5)]
    assert states == ["queued"] * 4 + ["failed"]
    assert (_rows("f.zip"), backend.unfinished_uploads()) == ([], [])


@pytest.mark.parametrize("is_recorded", [False, True])
def test_a_finished_zip_is_kept_whose_job_is_cancelled(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, is_recorded: bool
) -> None:
    """Its process died right after, before or after the zip was recorded, as its event does it."""
    job, _ = begin_zip(backend.context(), [backend.store_file()], "g.zip")
    with monkeypatch.context() as patch:
        patch.setattr(*((queue, "_end") if is_recorded else (zip, "record_if_there")), die)
        with pytest.raises(Died):
            backend.run(job.id)
    assert _rows("g.zip") == ["stored" if is_recorded else "pending"]
    _cancel(backend, job.id)

    assert backend.run(job.id, minutes=4).state == "cancelled"
    assert _rows("g.zip") == ["stored"]


def test_a_finished_zip_is_kept_whose_job_another_process_has_just_claimed(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one was slow. It ends the job before the second one begins."""
    job, _ = begin_zip(backend.context(), [backend.store_file()], "h.zip")
    end, save = queue._end, Work.save

    def be_overtaken(first: Any, *how: Any, **ending: Any) -> None:
        def end_first(second: Any) -> None:
            monkeypatch.undo()
            end(first, *how, **ending)
            save(second)

        monkeypatch.setattr(queue, "_end", end)
        monkeypatch.setattr(Work, "save", end_first)
        backend.run(job.id, minutes=4)

    monkeypatch.setattr(queue, "_end", be_overtaken)
    assert backend.run(job.id).state == "done"
    assert _rows("h.zip") == ["stored"]


def test_a_zip_that_fails_as_the_answer_to_its_beginning_is_lost_leaves_nothing(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each try notes a file of its own, and doesn't learn that it was noted."""
    job, _ = begin_zip(backend.context(), [backend.store_file()], "i.zip")
    save_with = Work.save_with

    def lose_the_answer(work: Any, tx: Any, progress: Any) -> None:
        save_with(work, tx, progress)
        tx.session.commit()
        raise DatabaseUnavailable("No answer.")

    monkeypatch.setattr(Work, "save_with", lose_the_answer)
    states = [backend.run(job.id, minutes=20 * number).state for number in range(5)]
    assert states == ["queued"] * 4 + ["failed"]
    assert _rows("i.zip") == []
