"""What services take first, for a database and a store of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Engine

from chalicelib import runtime
from chalicelib.db.engine import transaction
from chalicelib.services.accounts.principals import LANDFALL, Principal
from chalicelib.services.context import Context, Transaction
from chalicelib.settings import Settings


def context_on(
    engine: Engine,
    store: Any = None,
    *,
    settings: Settings | None = None,
    principal: Principal = LANDFALL,
    clock: Callable[[], datetime] = runtime.now,
) -> Context:
    """A context on this database. Nobody asks for anything, unless a principal is given."""
    return Context(lambda: transaction(engine), lambda: store, settings or Settings(), principal, clock)


@contextmanager
def transaction_on(
    engine: Engine, principal: Principal = LANDFALL, at: datetime | None = None
) -> Iterator[Transaction]:
    """A transaction on this database, at this moment or at another one."""
    clock = runtime.now if at is None else lambda: at
    with context_on(engine, principal=principal, clock=clock).transaction() as tx:
        yield tx
