"""What an audit's workers do with their ranges."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from sqlalchemy import text

from chalicelib.catalog.audits import AuditRequest
from chalicelib.db.audit_ranges import Counts, advance_range, claim_range, cut_range, keep_range, open_ranges
from chalicelib.db.audits import add_audit
from chalicelib.db.engine import create_catalog_engine, transaction
from chalicelib.runtime import now
from tests.support.waiting import eventually

_SETTING = text("SHOW synchronous_commit")


def test_only_a_pages_own_transaction_ends_without_waiting_for_the_disk(
    new_migrated_database: Callable[[], str],
) -> None:
    engine = create_catalog_engine(new_migrated_database())
    with transaction(engine) as session:
        assert keep_range(session, 0, uuid4()) is None
        assert session.scalar(_SETTING) == "off"
    with transaction(engine) as session:
        assert session.scalar(_SETTING) == "on"
    engine.dispose()


@pytest.mark.parametrize(("reached", "is_cut"), [("b", True), ("n", False), (None, False)])
def test_who_cuts_a_range_waits_for_its_worker_and_heeds_how_far_that_came(
    new_migrated_database: Callable[[], str], reached: str | None, is_cut: bool
) -> None:
    engine, worker = create_catalog_engine(new_migrated_database(), pool_size=3), uuid4()

    def cut() -> bool:
        with transaction(engine) as session:
            return cut_range(session, claimed.id, "m")

    with transaction(engine) as session:
        audit_id = add_audit(session, AuditRequest("any"), None, now())
        claimed = claim_range(session, audit_id, worker)
    assert claimed
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as session:
            assert keep_range(session, claimed.id, worker)
            cutting = pool.submit(cut)
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            assert eventually(lambda: session.scalar(waiting) == 1)
            assert not cut()  # only one waits
            advance_range(session, claimed.id, reached, Counts())
        assert cutting.result() == is_cut

    with transaction(engine) as session:
        ranges = {(part.position, part.until) for part in open_ranges(session, audit_id)}
    assert ranges == ({("b", "m"), ("m", None)} if is_cut else {("n", None)} if reached else set())
    engine.dispose()
