"""A member's list walks the member's own files, whether owners are few or many, and have much or little on average."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.claims import claim_files, release_files
from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.facets import count_files
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files
from chalicelib.db.files import end_restores, find_file, find_files, forget_pending, mark_restored
from chalicelib.db.folders import Folder, files_below, list_folders, sum_below
from chalicelib.db.history import list_events, list_versions
from chalicelib.db.locks import lock_files
from chalicelib.db.models import Share
from chalicelib.db.scope import Owner
from chalicelib.db.shares import add_share, revoke_share
from chalicelib.db.uploads import NewUpload, add_uploads, change_upload
from chalicelib.runtime import now
from tests.support.pages_read import BOUNDS, hold_still, pages_of

# One has tenths of all files, another thirty.
LARGE, SMALL = UUID(int=1), UUID(int=2)
_USERS = text("""
INSERT INTO users (id, name, created_at, updated_at)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'User ' || n, now(), now() FROM generate_series(1, CAST(:others AS int) + 2) AS n
""")
_FILES = text("""
INSERT INTO files (id, bucket, key, name, state, owner_id, created_at, updated_at)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'b', md5(n::text) || '/as long as keys are/' || n, md5(n::text), 'pending',
    CAST(lpad(to_hex(CASE WHEN mod(n, 10) < CAST(:tenths AS int) THEN 1 WHEN mod(n, 2000) = 1999 THEN 2
        ELSE 3 + mod(abs(hashint4(n)::bigint), CAST(:others AS int)) END), 32, '0') AS uuid), now(), now()
FROM generate_series(1, 60000) AS n
""")


@pytest.fixture(
    scope="module", params=[(3, 9), (20, 5), (3000, 2), (30_000, 1)], ids=["few", "some", "many", "a crowd"]
)
def owned(new_migrated_database: Callable[[], str], request: pytest.FixtureRequest) -> Iterator[Engine]:
    others, tenths = request.param
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        session.execute(_USERS, {"others": others})
        session.execute(_FILES, {"others": others, "tenths": tenths})
    hold_still(engine, "files")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("acts_before", [False, True], ids=["alone", "in a transaction that writes"])
@pytest.mark.parametrize("sort", ["created", "-created", "name", "-name"])
@pytest.mark.parametrize(("owner_id", "most"), [(LARGE, 150), (SMALL, 50)], ids=["large", "small"])
def test_a_page_reads_no_more_than_its_files(
    owned: Engine, owner_id: UUID, most: int, sort: str, acts_before: bool
) -> None:
    scope = Owner(owner_id)

    def page(session: Session) -> None:
        if acts_before:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 1})
        act_for(session, scope)
        found = list_files(session, scope, FileFilters(), sort, 100, None)
        assert (found.next_cursor is not None) == (owner_id == LARGE)

    assert pages_of(owned, page, "files") < most


@pytest.mark.parametrize("acts_before", [False, True], ids=["alone", "in a transaction that writes"])
def test_a_file_and_several_are_looked_up_one_by_one(owned: Engine, acts_before: bool) -> None:
    scope, file_ids = Owner(LARGE), [UUID(int=number) for number in (10, 20, 30)]

    def ask(session: Session) -> None:
        if acts_before:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": 1})
        act_for(session, scope)
        assert find_file(session, scope, file_ids[0])
        assert list(find_files(session, scope, file_ids)) == file_ids
        assert list_versions(session, scope, file_ids[0], 10, None).items == "[]"
        assert list_events(session, scope, file_ids[0], 10, None).items == "[]"

    assert pages_of(owned, ask, "files") < 50


@pytest.mark.parametrize("scope", [Owner(LARGE), Owner(LARGE, prefix="0")], ids=["whole", "part"])
def test_what_is_written_about_a_file_reads_no_other_files(owned: Engine, scope: Owner) -> None:
    """The views look whether it is about a file of the owner's."""
    with transaction(owned) as session:
        file_id = session.scalar(
            text("SELECT id FROM files WHERE owner_id = :me AND key ^@ '0' LIMIT 1"), {"me": LARGE}
        )
    columns = {"file_id": file_id, "owner_id": LARGE, "expires_at": now(), "created_at": now()}

    def write(session: Session) -> None:
        act_for(session, scope)
        upload = NewUpload(
            **columns, client_key=None, method="put", size=None, media_type=None, sha256=None, part_size=None
        )
        add_uploads(session, [upload])
        change_upload(session, file_id, problem="none")
        share = Share(
            id=uuid4(), file_id=file_id, created_by=LARGE, token_hash=uuid4().hex, expires_at=now(), created_at=now()
        )
        add_share(session, share)
        assert revoke_share(session, scope, share.id, now()) == file_id
        session.execute(text("DELETE FROM uploads"))

    assert pages_of(owned, write, "files") < 150


def test_what_is_planned_afterwards_is_planned_as_the_server_is_told(owned: Engine) -> None:
    names = (
        "plan_cache_mode",
        "enable_seqscan",
        "enable_sort",
        "enable_bitmapscan",
        "random_page_cost",
        "seq_page_cost",
    )
    settings = text(
        "SELECT " + ", ".join(f"current_setting('{name}')" for name in names) + " WHERE CAST(:yes AS boolean)"
    )
    with transaction(owned) as session:
        before = session.execute(settings, {"yes": True}).one()
        find_file(session, Owner(LARGE), UUID(int=10))
        within = session.execute(settings, {"yes": True}).one()
    with transaction(owned) as session:
        find_file(session, Owner(LARGE), UUID(int=10))
        after = session.execute(settings, {"yes": True}).one()
    assert before == within == after


# What walks a member's files and isn't prepared, so that the planner knows whose they are.
_WALKS: dict[str, tuple[Callable[[Session, Owner], object], int]] = {
    "of a bucket": (lambda session, me: list_files(session, me, FileFilters(bucket="b"), "-created", 10, None), 50),
    "in any state": (lambda session, me: list_files(session, me, FileFilters(state="any"), "-created", 10, None), 50),
    "by change": (lambda session, me: list_files(session, me, FileFilters(), "-updated", 10, None), 50),
    "of a key": (lambda session, me: list_files(session, me, FileFilters(key="none"), "-created", 10, None), 50),
    "facets": (lambda session, me: count_files(session, me, FileFilters(), ["type"], BOUNDS), 500),
    "folders": (lambda session, me: list_folders(session, me, Folder("b", ""), BOUNDS, 10, None), 200),
    "a folder's sum": (lambda session, me: sum_below(session, me, Folder("b", ""), BOUNDS), 100),
    "a folder's files": (lambda session, me: files_below(session, me, Folder("b", ""), now(), None, 100), 100),
}


@pytest.mark.parametrize("way", _WALKS)
def test_what_walks_a_members_files_stops_where_it_has_enough(owned: Engine, way: str) -> None:
    walk, most = _WALKS[way]

    def ask(session: Session) -> None:
        act_for(session, Owner(LARGE))
        walk(session, Owner(LARGE))

    assert pages_of(owned, ask, "files") < most


# What bulk requests and jobs do with some of a member's files.
_SOME = [UUID(int=number * 10) for number in range(1, 31)]
# A changed file has a new entry in each index, some fifteen of them.
_READING, _WRITING = 400, 1700
_TO_SEVERAL: dict[str, tuple[Callable[[Session], object], int]] = {
    "lock": (lambda session: lock_files(session, _SOME), _READING),
    "claim": (lambda session: claim_files(session, _SOME, now(), now() + timedelta(minutes=1)), _WRITING),
    "release": (lambda session: release_files(session, _SOME), _WRITING),
    "restore": (lambda session: mark_restored(session, _SOME), _WRITING),
    "end restores": (lambda session: end_restores(session, _SOME), _READING),
    "forget": (lambda session: forget_pending(session, _SOME), _READING),
}


@pytest.mark.parametrize("scope", [Owner(LARGE), Owner(LARGE, prefix="")], ids=["whole", "part"])
@pytest.mark.parametrize("way", _TO_SEVERAL)
def test_what_is_done_to_several_files_reads_no_others(owned: Engine, way: str, scope: Owner) -> None:
    does, most = _TO_SEVERAL[way]

    def ask(session: Session) -> None:
        act_for(session, scope)
        does(session)
        session.rollback()

    assert pages_of(owned, ask, "files") < most
