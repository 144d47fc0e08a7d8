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
from chalicelib.errors import DatabaseUnavailable
from chalicelib.ids import uuid7
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.jobs.queue import Work, cancel_job
from chalicelib.services.jobs.zip import begin_zip
from chalicelib.services.removal import trash
from tests.support.backend import Backend


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
