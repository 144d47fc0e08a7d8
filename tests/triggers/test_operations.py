"""The schema looked after from inside: by a function that an operator invokes."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.exc import ProgrammingError

import app
from chalicelib import runtime
from chalicelib.db import migrate
from chalicelib.db.engine import act_for, create_catalog_engine, transaction
from chalicelib.db.migrate import newest_revision
from chalicelib.db.scope import Owner
from chalicelib.errors import Conflict, InvalidInput, NotFound, SchemaMismatch
from tests.support.notifications import body, s3_record, sqs_event
from tests.support.process import start_over


@pytest.fixture
def runtime_engine(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """The process's own engine, on an empty database."""
    monkeypatch.setenv("LANDFALL_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("LANDFALL_INSPECTION", "schedule")
    start_over()
    yield runtime.engine()
    runtime.engine().dispose()
    start_over()


def _migrate(**event: Any) -> dict[str, Any]:
    answer: dict[str, Any] = app.migrate(event, None)
    return answer


def test_an_empty_database_gets_the_schema_of_the_code_and_the_demo_user(runtime_engine: Engine) -> None:
    head = newest_revision()
    status = _migrate(action="status")
    assert (status["database"], status["code"], status["state"]) == (None, head, "behind")
    assert _migrate(action="upgrade", expected=head) == {"database": head, "code": head, "state": "current"}
    assert _migrate(action="upgrade") == {"database": head, "code": head, "state": "current"}
    assert _migrate(action="status")["has_member_role"]

    with runtime_engine.connect() as connection:
        assert connection.execute(text("SELECT role FROM users")).scalar_one() == "operator"


def test_somebody_who_has_signed_in_is_made_an_operator(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")
    with runtime_engine.begin() as connection:
        user = connection.scalar(
            text("""INSERT INTO users (id, name, role, created_at, updated_at)
                VALUES (gen_random_uuid(), 'Ada', 'member', now(), now()) RETURNING id""")
        )
    assert _migrate(action="operator", user=str(user)) == {"name": "Ada"}
    with runtime_engine.connect() as connection:
        assert connection.scalar(text("SELECT role FROM users WHERE id = :id"), {"id": user}) == "operator"
    with pytest.raises(NotFound):
        _migrate(action="operator", user=str(uuid4()))


def test_code_of_an_unexpected_revision_changes_nothing(runtime_engine: Engine) -> None:
    with pytest.raises(SchemaMismatch, match="asked for 9999"):
        _migrate(action="upgrade", expected="9999")
    assert _migrate(action="status")["database"] is None


def test_code_older_than_the_schema_refuses(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")
    with runtime_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    assert _migrate(action="status")["state"] == "ahead"
    with pytest.raises(SchemaMismatch, match="newer code"):
        _migrate(action="upgrade")


def test_a_second_migration_waits_for_the_first_and_gives_up_in_time(
    runtime_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "_LOCK_TIMEOUT_MS", 100)
    other = create_engine(runtime_engine.url)
    with other.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": migrate._LOCK})
        with pytest.raises(Conflict, match="Try again"):
            _migrate(action="upgrade")
    other.dispose()

    assert _migrate(action="upgrade")["state"] == "current"


def test_a_migration_that_fails_leaves_the_schema_as_it_was(runtime_engine: Engine) -> None:
    with runtime_engine.begin() as connection:
        connection.execute(text("CREATE TABLE file_events (already int)"))

    with pytest.raises(ProgrammingError, match="already exists"):
        _migrate(action="upgrade")

    with runtime_engine.connect() as connection:
        assert connection.execute(text("SELECT to_regclass('users')")).scalar_one() is None
        assert migrate.current_revision(connection) is None


@pytest.mark.parametrize("event", [{}, {"action": "drop"}])
def test_an_unknown_action_is_refused(event: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="none of status, upgrade, roles, find"):
        _migrate(**event)


def test_a_file_is_found_by_its_key(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")
    assert _migrate(action="find", bucket="landfall-local", key="k") == {"state": None, "etag": None}

    record = s3_record("ObjectCreated:Put", "k", bucket="landfall-local", version_id="v", size=1, etag="e")
    assert app.ingest(sqs_event(body(record)), None) == {"batchItemFailures": []}
    assert _migrate(action="find", bucket="landfall-local", key="k") == {"state": "stored", "etag": "e"}


def test_roles_made_by_a_master_user_have_only_their_rights(
    runtime_engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The master user of RDS is no superuser, but may create roles and owns the database."""
    name = make_url(str(runtime_engine.url)).database
    with runtime_engine.begin() as connection:
        for statement in (
            "CREATE ROLE master_user LOGIN CREATEROLE PASSWORD 'x'",
            "GRANT master_user TO CURRENT_USER WITH SET TRUE",
            f"ALTER DATABASE {name} OWNER TO master_user",
            # Another test of this server may have made it; the master user of a server makes it itself.
            "DO $$ BEGIN GRANT landfall_members TO master_user WITH ADMIN OPTION;"
            " EXCEPTION WHEN undefined_object THEN NULL; END $$",
        ):
            connection.execute(text(statement))
    assert _migrate(action="roles", user="master_user", password="top-secret") == {"roles": "ready"}
    assert _migrate(action="roles", user="master_user", password="top-secret") == {"roles": "ready"}
    assert "top-secret" not in capsys.readouterr().out

    owner, worker = (create_catalog_engine(runtime_engine.url.set(username=f"landfall_{r}")) for r in ("owner", "app"))
    migrate.upgrade(owner)
    with transaction(worker) as session:
        session.execute(
            text("INSERT INTO file_events (bucket, key, rank, version_id, event_time, change, event_name, sequencer, "
                 "recorded_at) VALUES ('b', 'k', 'r', '', now(), 'put', 'e', '', now())")
        )  # fmt: skip
        session.execute(text("DELETE FROM file_events"))
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(worker) as session:
        session.execute(text("CREATE TABLE mine (n int)"))
    with pytest.raises(ProgrammingError, match="must be owner"), transaction(worker) as session:
        session.execute(text("DROP TABLE users"))
    with transaction(worker) as session:
        act_for(session, Owner(UUID(int=1)))
        assert session.scalar(text("SELECT current_user")) == "landfall_members"
        assert session.execute(text("SELECT * FROM files")).all() == []
    with pytest.raises(ProgrammingError, match="permission denied"), transaction(worker) as session:
        act_for(session, Owner(UUID(int=1)))
        session.execute(text("SELECT * FROM public.files"))
    for engine in (owner, worker):
        engine.dispose()


def test_the_backlog_counts_what_waits_and_what_has_failed(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")

    nothing = {
        "failed_jobs": 0,
        "open_jobs": 0,
        "pending_uploads": 0,
        "overdue_uploads": 0,
        "uninspected_versions": 0,
        "dead_events": 0,
    }
    assert _migrate(action="backlog") == nothing

    job = (
        "INSERT INTO jobs (id, owner_id, kind, state, command, run_after, created_at, updated_at)"
        " SELECT gen_random_uuid(), id, 'zip', '{state}', '{{}}', now(), now(), now() - interval '{age}' FROM users"
    )
    file = (
        "WITH f AS (INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at)"
        " SELECT gen_random_uuid(), 'b', '{key}', 'n', '{state}', id, now(), now() FROM users RETURNING id, owner_id)"
        " INSERT INTO uploads (file_id, owner_id, method, expires_at, created_at)"
        " SELECT id, owner_id, 'put', now() + interval '{left}', now() FROM f"
    )
    with runtime_engine.begin() as connection:
        for state, age in (
            ("failed", "1 hour"),
            ("failed", "25 hours"),
            ("queued", "0"),
            ("running", "0"),
            ("done", "0"),
        ):
            connection.execute(text(job.format(state=state, age=age)))
        for key, state, left in (("a", "pending", "1 hour"), ("b", "pending", "-3 hours"), ("c", "deleted", "1 hour")):
            connection.execute(text(file.format(key=key, state=state, left=left)))

    found = {"failed_jobs": 1, "open_jobs": 2, "pending_uploads": 2, "overdue_uploads": 1}
    assert _migrate(action="backlog") == nothing | found


def test_a_bucket_is_adopted_and_its_repair_begun(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")
    audit = _migrate(action="adopt", bucket="from-before")["audit"]
    with runtime_engine.connect() as connection:
        row = connection.execute(text("SELECT bucket, repairs, state FROM audits WHERE id = :id"), {"id": audit}).one()
        assert tuple(row) == ("from-before", True, "listing")
        assert connection.scalar(text("SELECT count(*) FROM buckets WHERE name = 'from-before'")) == 1
    with pytest.raises(InvalidInput, match="which bucket"):
        _migrate(action="adopt")


def test_given_up_inspections_are_counted_and_requested_again(runtime_engine: Engine) -> None:
    _migrate(action="upgrade")
    version = text(
        "INSERT INTO object_versions (bucket, key, version_id, put_rank, inspect_tries, inspect_problem)"
        " SELECT 'b', 'k' || n, '', 'r', 8, 'It did not answer.' FROM generate_series(1, 1500) AS n"
    )
    with runtime_engine.begin() as connection:
        connection.execute(version)

    assert _migrate(action="backlog")["uninspected_versions"] == 1500
    assert _migrate(action="inspect") == {"requested": 1500}
    assert _migrate(action="inspect") == {"requested": 0}

    with runtime_engine.connect() as connection:
        due = text("SELECT count(*) FROM object_versions WHERE inspect_after <= now() AND inspect_tries = 0")
        assert connection.execute(due).scalar_one() == 1500
