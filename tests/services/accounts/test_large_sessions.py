"""Sessions of more files than one transaction should hold."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.db import sessions as tables
from chalicelib.db.locks import lock_files
from chalicelib.errors import NotFound
from chalicelib.services.accounts import sessions
from chalicelib.services.accounts.sessions import NewSession
from chalicelib.services.uploads import direct
from chalicelib.services.uploads.reservations import Description, UploadRequest
from tests.support.backend import Backend
from tests.support.dying import Died, die


def full_session(backend: Backend) -> str:
    name = f"s-{uuid4()}"
    with backend.context().transaction() as tx:
        sessions.open_session(tx, NewSession(name))
    for _ in range(5):
        direct.begin(backend.context(), UploadRequest(name="a", size=5, description=Description(session_id=name)))
    return name


def files_in(name: str) -> int:
    with runtime.transaction() as session:
        return int(session.scalar(text("SELECT count(*) FROM files WHERE session_id = :name"), {"name": name}) or 0)


def test_a_session_of_many_files_is_deleted_in_several_transactions(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_AT_ONCE", 2)
    name = full_session(backend)
    deletes: Any = tables.delete_session
    calls = []

    def die_at_the_second(*arguments: Any) -> Any:
        calls.append(arguments)
        return die() if len(calls) == 2 else deletes(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "delete_session", die_at_the_second)
        with backend.context().transaction() as tx, pytest.raises(Died):
            sessions.delete_session(tx, name)
    assert files_in(name) == 3
    with backend.context().transaction() as tx:
        sessions.delete_session(tx, name)
    assert files_in(name) == 0
    with backend.context().transaction() as tx, pytest.raises(NotFound):
        sessions.get_session(tx, name)


def test_more_files_are_locked_than_a_statement_takes_values(backend: Backend) -> None:
    with backend.context().transaction() as tx:
        lock_files(tx.session, [UUID(int=number) for number in range(70_000)])
