"""The views that members' statements read are no wall for the planner: it finds the same indexes."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, text

from chalicelib.db.engine import act_for, create_catalog_engine, transaction
from chalicelib.db.scope import EVERYONE, Owner
from tests.support.tenants import ADA, add_tenants

_BY_INDEX = {
    "newest": (
        "SELECT id FROM files WHERE owner_id = CAST(:me AS uuid) ORDER BY id DESC LIMIT 10",
        "files_owner_id_id_idx",
    ),
    "tag": (
        """SELECT id FROM files WHERE owner_id = CAST(:me AS uuid)
            AND own_tags(owner_id, session_id, tags) @> CAST('{rare}' AS text[]) AND tags <> '{}'""",
        "files_own_tags_idx",
    ),
    "metadata": (
        """SELECT id FROM files WHERE owner_id = CAST(:me AS uuid)
            AND own_metadata(owner_id, session_id, metadata) @? '$.me.a ? (@ == "rare")' AND metadata <> '{}'""",
        "files_own_metadata_idx",
    ),
    "key": ("SELECT id FROM files WHERE key = 'k5000' AND bucket = 'b'", "files_key_bucket_key"),
}


@pytest.mark.parametrize("name", _BY_INDEX)
def test_a_view_hides_no_index_from_the_planner(planned: Engine, name: str) -> None:
    statement, index = _BY_INDEX[name]
    for scope in (EVERYONE, Owner(ADA)):
        with transaction(planned) as session:
            act_for(session, scope)
            plan = "\n".join(session.scalars(text(f"EXPLAIN {statement}"), {"me": ADA} if ":me" in statement else {}))
            assert index in plan, f"{scope}: {plan}"


@pytest.fixture(scope="module")
def planned(new_migrated_database: Callable[[], str]) -> Iterator[Engine]:
    """Twenty thousand files of many owners, a tenth of them Ada's."""
    engine = create_catalog_engine(new_migrated_database())
    add_tenants(engine)
    with transaction(engine) as session:
        session.execute(
            text("""
            INSERT INTO users (id, name, created_at, updated_at)
            SELECT CAST('00000000-0000-0000-0000-0000000000' || lpad(CAST(n AS text), 2, '0') AS uuid), 'u', now(), now()
            FROM generate_series(1, 9) AS n""")
        )
        session.execute(
            text("""
            INSERT INTO files (id, bucket, key, name, state, owner_id, tags, metadata, created_at, updated_at)
            SELECT gen_random_uuid(), 'b', 'k' || n, 'n', 'pending', CASE mod(n, 10) WHEN 0 THEN CAST(:ada AS uuid)
                ELSE CAST('00000000-0000-0000-0000-00000000000' || mod(n, 10) AS uuid) END, ARRAY['t' || mod(n, 5000)],
                jsonb_build_object('a', mod(n, 5000)), now(), now()
            FROM generate_series(1, 20000) AS n"""),
            {"ada": ADA},
        )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE files"))
    yield engine
    engine.dispose()
