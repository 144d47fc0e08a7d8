"""Waiting for something to come, by looking again and again: no connection is held in between."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from chalicelib.api.http import membership
from chalicelib.api.http.endpoint import StepwiseCall
from chalicelib.services.accounts.waits import place_to_wait

FoundT = TypeVar("FoundT")
_INTERVAL_SECONDS = 0.25


def until(call: StepwiseCall, has_come: Callable[[FoundT], bool], look: Callable[[], FoundT], seconds: float) -> FoundT:
    """What ``look`` finds as soon as it ``has_come``, or when ``seconds`` are over. It looks at least once.

    If too many requests wait already, this one doesn't, and its answer says so in a header.

    Raises:
        Unauthenticated, NotFound, Forbidden: the caller's token, key, membership or role has ended while it waited.
    """
    deadline = monotonic() + seconds
    found = look()
    if seconds <= 0 or has_come(found):
        return found
    with place_to_wait(call.ctx, seconds) as is_free:
        call.exchange.may_not_wait = not is_free
        while is_free and not has_come(found) and (left := deadline - monotonic()) > 0:
            sleep(min(_INTERVAL_SECONDS, left))
            found = look()
    if is_free:
        membership.require_still_there(call.exchange, call.ctx.principal)
    return found
