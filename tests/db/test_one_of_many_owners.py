"""A member's list walks the member's own files, whether owners are few or many, and have much or little on average."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.engine import Session, act_for, create_catalog_engine, transaction
from chalicelib.db.file_filters import FileFilters
from chalicelib.db.file_lists import list_files
from chalicelib.db.scope import Owner
from tests.support.pages_read import hold_still, pages_of

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


@pytest.fixture(scope="module", params=[(3, 9), (20, 5), (3000, 2)], ids=["few", "some", "many"])
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
