"""Waiting for something to come, by looking again and again: no connection is held in between."""

from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

FoundT = TypeVar("FoundT")
_INTERVAL_SECONDS = 0.25


def until(has_come: Callable[[FoundT], bool], look: Callable[[], FoundT], seconds: float) -> FoundT:
    """What ``look`` finds as soon as it ``has_come``, or when ``seconds`` are over. It looks at least once."""
    deadline = monotonic() + seconds
    while True:
        found = look()
        left = deadline - monotonic()
        if left <= 0 or has_come(found):
            return found
        sleep(min(_INTERVAL_SECONDS, left))
