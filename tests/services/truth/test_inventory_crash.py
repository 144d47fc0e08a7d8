"""The database's server is killed while an inventory is loaded or compared: unlogged tables are empty, and nothing is gone."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from chalicelib.catalog.objects import EVERYTHING
from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.truth import auditing, inventories, loading
from chalicelib.services.truth.allowances import Allowance
from chalicelib.services.upkeep import schema
from chalicelib.store.client import ObjectStore
from dev.stack import ephemeral_postgres
from tests.support.contexts import context_on
from tests.support.inventories import InventoryMaker, begin, run, work_on
from tests.support.listings import listed_by_catalogue, listed_by_s3


@pytest.mark.parametrize("is_comparing", [False, True])
def test_what_a_crash_took_away_is_loaded_again(
    s3: Any,
    plain_bucket: str,
    is_comparing: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loading, "_VERSIONS_AT_ONCE", 7)
    monkeypatch.setattr(inventories, "_VERSIONS_AT_ONCE", 7)
    for number in range(30):
        s3.put_object(Bucket=plain_bucket, Key=f"k{number:02}", Body=b"1")
    maker = InventoryMaker(s3, plain_bucket)
    with ephemeral_postgres(Path(tmp_path_factory.mktemp("crash"))) as postgres:
        engine = create_catalog_engine(postgres.url)
        schema.migrate(engine, with_demo_user=True)
        ctx = context_on(engine, ObjectStore(s3, s3, lambda: EVERYTHING))
        run(ctx, plain_bucket, maker.put())
        audit_id = begin(ctx, plain_bucket, maker.put(parts=2), brake=0)
        state = ""
        while state != ("listing" if is_comparing else "loading"):
            auditing.work_on_audit(ctx, audit_id, OneStep())
            with ctx.transaction() as tx:
                state = auditing.get_audit(tx, audit_id).state
        assert versions_in(engine) > 1

        postgres.kill()
        postgres.start()
        engine.dispose()
        assert versions_in(engine) == 0
        found = work_on(ctx, audit_id)
        assert (found.state, found.compared, found.drift, found.recorded) == ("done", 30, 0, 0)
        assert listed_by_catalogue(engine, plain_bucket) == listed_by_s3(s3, plain_bucket)
        engine.dispose()


class OneStep(Allowance):
    """Allows one step."""

    def __init__(self) -> None:
        super().__init__()
        self._is_left = True

    @property
    def is_left(self) -> bool:
        was_left, self._is_left = self._is_left, False
        return was_left


def versions_in(engine: Any) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM inventory_versions")))
