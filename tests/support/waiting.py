"""Waiting for what happens by itself."""

import time
from collections.abc import Callable


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether ``check`` comes true in time. Delivery is asynchronous: what matters is where it ends."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
