"""SnapStart's hooks: what is made before the snapshot, and what each copy makes anew."""

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib import runtime, snapshots
from chalicelib.api.routes import ROUTES
from tests.support.process import start_over

_ROOT = Path(__file__).parents[2]
# In place of the library that Lambda's Python brings along. It says what it is told.
_LIBRARY = """

def register_before_snapshot(func):
    print("before", func.__name__)

def register_after_restore(func):
    print("after", func.__name__)
"""


@pytest.fixture
def database(new_migrated_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("LANDFALL_DATABASE_URL", new_migrated_database())
    start_over()
    yield
    runtime.engine().dispose()
    start_over()


def _backend() -> int:
    with runtime.engine().connect() as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_a_copy_uses_no_connection_of_the_process_that_it_was_made_of(database: None) -> None:
    first = _backend()
    assert _backend() == first
    snapshots.begin_anew()
    assert _backend() != first


def test_a_copy_forgets_keys_and_counts_which_may_be_old(database: None) -> None:
    before = runtime.callers(), runtime.rates(), runtime.settings()
    snapshots.begin_anew()
    assert runtime.callers() is not before[0]
    assert runtime.rates() is not before[1]
    assert runtime.settings() is before[2]


def test_copies_have_random_numbers_of_their_own() -> None:
    state = random.getstate()
    shared = random.random()
    found = set()
    for _ in range(3):
        random.setstate(state)  # as a snapshot does
        snapshots.begin_anew()
        found.add(random.random())
    assert len(found | {shared}) == 4


def test_a_process_that_has_used_nothing_yet_can_begin_anew() -> None:
    start_over()
    snapshots.begin_anew()
    assert runtime.engine.cache_info().currsize == 0


def test_the_snapshot_holds_every_route_and_no_connection() -> None:
    code = (
        "from chalicelib import runtime, snapshots; snapshots.be_ready(); "
        "print(runtime.engine().pool.checkedin(), runtime.store.cache_info().currsize, *sys.modules)"
    )
    connections, stores, *modules = _printed_by(code)
    assert (connections, stores) == ("0", "1")
    assert {f"chalicelib.api.routes.{route.view.module}" for route in ROUTES} <= set(modules)


def test_lambda_is_told_only_where_it_takes_snapshots(tmp_path: Path) -> None:
    (tmp_path / "snapshot_restore_py.py").write_text(_LIBRARY)
    told = _printed_by(
        "import app", _HANDLER="app.app", AWS_LAMBDA_INITIALIZATION_TYPE="snap-start", PYTHONPATH=str(tmp_path)
    )
    assert told == ["before", "be_ready", "after", "begin_anew"]
    other: dict[str, Any] = {"_HANDLER": "app.app", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    assert _printed_by("import app", **other, PYTHONPATH=str(tmp_path)) == []


def _printed_by(code: str, **environment: str) -> list[str]:
    command = [sys.executable, "-c", f"import sys; {code}"]
    run = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=True)
    return run.stdout.split()
