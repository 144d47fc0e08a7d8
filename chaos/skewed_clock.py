"""A process's clock that is wrong by some seconds, as those of machines are."""

import os
from datetime import timedelta

from chalicelib import runtime

VARIABLE = "CHAOS_CLOCK_SECONDS"


def skew_clock() -> None:
    """Have this process's clock go wrong by ``CHAOS_CLOCK_SECONDS``. Before the application is imported."""
    shift, now = timedelta(seconds=float(os.environ.get(VARIABLE) or 0)), runtime.now
    runtime.now = lambda: now() + shift
