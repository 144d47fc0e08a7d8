"""Rates: how often a caller may ask.

Each process counts by itself what it lets through, and adds it to the user's bucket in Postgres every some requests, after
the request and outside of its transaction. So a request costs nothing, a flood that is refused doesn't reach the database, and
all processes together let through no more than the rate, plus what each hasn't added yet: a tenth of the burst at most.
"""

from collections import OrderedDict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from hashlib import sha256
from math import ceil
from threading import Lock
from time import monotonic
from typing import Generic, Literal, TypeVar
from uuid import UUID

from chalicelib import telemetry
from chalicelib.catalog.rates import Rate, Standing
from chalicelib.db import rates
from chalicelib.db.engine import Session
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import DatabaseUnavailable, TooManyRequests
from chalicelib.services.context import Context

# How many callers, credentials and addresses a process remembers: some megabytes.
_REMEMBERED = 10_000

# Requests without an identity. Those that ask how the service is have a bucket of their own, so that no flood of others makes it
# look dead.
Counted = Literal["asks", "checks"]

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class _Latest(OrderedDict[KeyT, ValueT], Generic[KeyT, ValueT]):
    """A dictionary that forgets what was put into it longest ago."""

    def put(self, key: KeyT, value: ValueT) -> ValueT:
        self[key] = value
        self.move_to_end(key)
        if len(self) > _REMEMBERED:
            self.popitem(last=False)
        return value


@dataclass(slots=True)
class _Bucket:
    """As this process knows it: in how many seconds it was full, as read at a time, and the requests since that Postgres doesn't
    know of."""

    seconds_to_full: float = 0.0
    read_at: float = 0.0
    not_added: int = 0

    def left(self, rate: Rate, now: float) -> float:
        return rate.burst - self.seconds(rate, now) * rate.per_second

    def seconds(self, rate: Rate, now: float) -> float:
        return max(0.0, self.seconds_to_full - (now - self.read_at)) + self.not_added * rate.seconds_each

    def learn(self, seconds: float, now: float) -> None:
        """Take in what Postgres says. An answer that another thread's has overtaken says less, and less counts nothing."""
        self.seconds_to_full, self.read_at = max(seconds, self.seconds_to_full - (now - self.read_at)), now

    def settle(self, rate: Rate, now: float) -> None:
        """Take the requests since for added."""
        self.seconds_to_full, self.read_at, self.not_added = max(0.0, self.seconds(rate, now)), now, 0


@dataclass(slots=True)
class Rates:
    """What this process knows of how often callers ask.

    Attributes:
        rate: what each user may do; None: whatever it likes.
        begin: gives a session of its own, for what is to be added in Postgres.
        clock: seconds that never go back.
    """

    rate: Rate | None
    begin: Callable[[], AbstractContextManager[Session]]
    clock: Callable[[], float] = monotonic
    _users: _Latest[UUID, _Bucket] = field(default_factory=_Latest)
    _addresses: _Latest[tuple[str, str], _Bucket] = field(default_factory=_Latest)
    # Whom a credential named, by its hash.
    _known: _Latest[bytes, UUID] = field(default_factory=_Latest)
    _lock: Lock = field(default_factory=Lock)

    def refuse_early(self, credential: str | None, address: str | None) -> None:
        """Refuse, before anybody is looked up, whom there is no token left for, and an address that has failed too often.

        An address with a credential that was good lately is heard all the same: others may share the address.

        Raises:
            TooManyRequests: see above.
        """
        if self.rate is None:
            return
        with self._lock:
            user_id = self._known.get(_hash(credential)) if credential else None
            failed = self._addresses.get(("fails", address)) if address else None
            bucket = failed if user_id is None else self._users.get(user_id)
            if bucket is not None:
                self._require(self.rate, bucket)

    def admit(self, user_id: UUID, credential: str | None) -> Standing | None:
        """Count a request of a user; returns where the user stands then. None: nothing is limited.

        Raises:
            TooManyRequests: the user has asked too often.
        """
        if self.rate is None:
            return None
        with self._lock:
            if credential:
                self._known.put(_hash(credential), user_id)
            bucket = self._users.get(user_id) or self._users.put(user_id, _Bucket())
            return self._take(self.rate, bucket)

    def note_failure(self, credential: str | None, address: str | None) -> None:
        """Count a request that failed to prove who it is from. Only this process knows of it.

        Raises:
            TooManyRequests: too many from this address have.
        """
        with self._lock:
            if credential:  # it may have been good until now: an API key was revoked, a token has expired
                self._known.pop(_hash(credential), None)
        self._count_at("fails", address)

    def admit_address(self, address: str | None, counted: Counted = "asks") -> Standing | None:
        """Count a request of somebody without an identity. Only this process knows of it.

        Raises:
            TooManyRequests: the address has asked too often.
        """
        return self._count_at(counted, address)

    def _count_at(self, doing: Counted | Literal["fails"], address: str | None) -> Standing | None:
        if self.rate is None or not address:
            return None
        with self._lock:
            who = doing, address
            bucket = self._addresses.get(who) or self._addresses.put(who, _Bucket())
            bucket.settle(self.rate, self.clock())
            return self._take(self.rate, bucket)

    def add_up(self, user_id: UUID) -> None:
        """Add a user's requests to its bucket in Postgres, once they are a tenth of the burst, and learn what others have added.

        If the database doesn't answer, they are added later.
        """
        if self.rate is None:
            return
        with self._lock:
            bucket = self._users.get(user_id)
            if bucket is None or bucket.not_added < max(1, self.rate.burst // 10):
                return
            adding = bucket.not_added
            bucket.settle(self.rate, self.clock())  # so that other threads count them, and don't add them again
        try:
            with meaningful_refusals(), self.begin() as session:
                seconds = rates.use(session, user_id, adding * self.rate.seconds_each)
        except DatabaseUnavailable as error:
            telemetry.log("warning", "requests not counted yet", user_id=user_id, error=error)
            with self._lock:
                bucket.seconds_to_full = max(0.0, bucket.seconds_to_full - adding * self.rate.seconds_each)
                bucket.not_added += adding
            return
        with self._lock:
            bucket.learn(seconds, self.clock())

    def _take(self, rate: Rate, bucket: _Bucket) -> Standing:
        self._require(rate, bucket)
        bucket.not_added += 1
        now = self.clock()
        return Standing(rate, max(0, int(bucket.left(rate, now))), bucket.seconds(rate, now))

    def _require(self, rate: Rate, bucket: _Bucket) -> None:
        now = self.clock()
        left = bucket.left(rate, now)
        if left < 1:
            raise TooManyRequests(max(1, ceil((1 - left) * rate.seconds_each)))


def forget_rates(ctx: Context) -> int:
    """Forget what nobody has used for a day; returns of how many users."""
    with ctx.transaction() as tx:
        return rates.forget_full(tx.session)


def _hash(credential: str) -> bytes:
    return sha256(credential.encode("utf-8", "replace")).digest()
