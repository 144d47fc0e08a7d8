"""Who is let in: the caller behind a request of a sound size, within its rate, with a key that has the scope."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from chalicelib import runtime
from chalicelib.api.http.exchange import Exchange
from chalicelib.catalog.rates import Standing
from chalicelib.catalog.roles import KeyScope
from chalicelib.db.engine import Session
from chalicelib.errors import AccountDisabled, HeadersTooLarge, TooManyRequests, Unauthenticated
from chalicelib.services.accounts.principals import ANYBODY, Principal
from chalicelib.services.accounts.rates import Counted

# API Gateway lets 10,240 through. A token may have 16,384 where something else is in front.
MAX_HEADER_BYTES = 32_768

Begin = Callable[[], AbstractContextManager[Session]]


def admit(exchange: Exchange, begin: Begin, needed: tuple[KeyScope, ...]) -> Principal:
    """The caller. ``begin`` gives a session where somebody is to be looked up.

    Raises:
        Unauthenticated: the request names nobody. AccountDisabled: nobody may act as whom it names.
        TooManyRequests: the caller asks too often.
        MissingScope: the caller's API key has none of the scopes ``needed``. HeadersTooLarge. KeysUnavailable.
    """
    _require_small(exchange.headers)
    with _telling(exchange):
        principal = _identify(exchange, begin)
    principal.require_scope(*needed)
    return principal


def admit_anybody(exchange: Exchange, counted: Counted | None) -> Principal:
    """A caller whom nobody asks who it is. ``counted``: what its requests are counted with; None: they are not.

    Raises:
        TooManyRequests: too many requests come from its address. HeadersTooLarge.
    """
    _require_small(exchange.headers)
    if counted is not None:
        with _telling(exchange):
            exchange.standing = runtime.rates().admit_address(exchange.address, counted)
    return ANYBODY


@contextmanager
def _telling(exchange: Exchange) -> Iterator[None]:
    """If the caller asks too often, the answer says how it stands."""
    try:
        yield
    except TooManyRequests as error:
        rate = runtime.rates().rate
        exchange.standing = None if rate is None else Standing(rate, 0, error.retry_seconds)
        raise


def _identify(exchange: Exchange, begin: Begin) -> Principal:
    rates, credential = runtime.rates(), exchange.headers.get("authorization")
    rates.refuse_early(credential, exchange.address)
    try:
        principal = runtime.callers().identify(exchange.headers, begin)
    except (Unauthenticated, AccountDisabled):
        rates.note_failure(credential, exchange.address)
        raise
    is_second_try, exchange.principal = exchange.principal is not None, principal
    if not is_second_try:  # after a deadlock
        exchange.standing = rates.admit(principal.user_id, credential)
    return principal


def _require_small(headers: Mapping[str, str]) -> None:
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise HeadersTooLarge(f"The headers have more than {MAX_HEADER_BYTES} bytes.")
