"""What an audit's workers do with their ranges."""

from collections.abc import Callable
from uuid import uuid4

from sqlalchemy import text

from chalicelib.db.audit_ranges import keep_range
from chalicelib.db.engine import create_catalog_engine, transaction

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
