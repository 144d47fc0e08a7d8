"""What service functions take first: a `Context`, or a `Transaction` that a context has opened.

- One that takes a `Transaction` does all of its work in the transaction that its caller has opened, and commits nothing.
- One that takes a `Context` opens as many transactions as it needs. It may act on the object store, too, and then no
  transaction is open.

Whatever runs before anybody can be asked for takes less: looking after the schema, and identifying the caller.

They are two types, so that neither can be handed to a function that expects the other.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from chalicelib.catalog.acts import BY_CLOCK, Cause
from chalicelib.db.engine import Session, act_for, acting_for
from chalicelib.db.refusals import once_more_after_deadlock
from chalicelib.db.scope import EVERYONE, Scope
from chalicelib.services.accounts.principals import Principal
from chalicelib.settings import Settings

if TYPE_CHECKING:
    from chalicelib.store.client import ObjectStore
    from chalicelib.store.links import Links

_T = TypeVar("_T")

_A_WHILE = timedelta(seconds=45)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One open transaction, and who asks for what is done in it, and how. ``now`` is UTC, to the millisecond.

    It has no object store, so that nobody asks S3 anything while a transaction is open. Signing links asks S3 nothing.
    """

    session: Session
    settings: Settings
    principal: Principal
    now: datetime
    connect_store: "Callable[[], ObjectStore]"
    cause: Cause = BY_CLOCK

    def __post_init__(self) -> None:
        """Confine the session's statements to what the caller may see, whatever they name themselves."""
        act_for(self.session, self.principal.scope)

    @property
    def scope(self) -> Scope:
        """What the caller may see."""
        return self.principal.scope

    def as_landfall(self) -> AbstractContextManager[None]:
        """A block in which Landfall acts on the tables themselves, for what must see or write more than the caller may.

        Nothing that it reads may reach the caller, but for what belongs to the caller.
        """
        return acting_for(self.session, EVERYONE)

    @property
    def links(self) -> "Links":
        """Signs links."""
        return self.connect_store().links


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, how, and with what: transactions to open, the object store, the settings and the clock."""

    begin: Callable[[], AbstractContextManager[Session]]
    connect_store: "Callable[[], ObjectStore]"
    settings: Settings
    principal: Principal
    clock: Callable[[], datetime]
    cause: Cause = BY_CLOCK

    @property
    def now(self) -> datetime:
        """The time at this moment."""
        return self.clock()

    @property
    def store(self) -> "ObjectStore":
        """The object store, connected at its first use."""
        return self.connect_store()

    @property
    def links(self) -> "Links":
        """Signs links."""
        return self.store.links

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction that is committed at the end, or rolled back if the block raises.

        Raises:
            DatabaseUnavailable: see `chalicelib.db.engine.transaction`.
        """
        with self.begin() as session:
            yield Transaction(session, self.settings, self.principal, self.clock(), self.connect_store, self.cause)

    def for_a_while(self, items: Iterable[_T]) -> Iterator[_T]:
        """The first of ``items``, and the others until the loop over them has taken 45 seconds.

        The clock's tasks come one after the other, so none may keep the others waiting because somebody has given it much to do.
        """
        until = self.now + _A_WHILE
        for item in items:
            yield item
            if self.now >= until:
                return

    def acting(self, principal: Principal) -> "Context":
        """The same for another principal."""
        return replace(self, principal=principal)

    def by_itself(self) -> "Context":
        """The same for the caller by itself, in whatever session it acts."""
        return self if self.principal.acting is None else self.acting(self.principal.acting_as(None))

    def in_transaction(self, do: Callable[[Transaction], _T]) -> _T:
        """Do the database's half of something, and return what ``do`` returns.

        Landfall records what S3 has done, as when an event tells of it, and not the caller, who may see less. If the server
        ends the transaction because of a deadlock, it is done once more, because S3 has done its half already.
        """

        def in_one() -> _T:
            with self.transaction() as tx, tx.as_landfall():
                return do(tx)

        return once_more_after_deadlock(in_one)
