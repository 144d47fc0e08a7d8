"""SnapStart: what a process does before Lambda takes a snapshot of it, and once it goes on as one of many copies.

A copy begins hours or days later, with the memory of the first: with its random numbers, its idea of the time, its connections.
What must not be shared, or may be stale, is made anew then. See docs/decisions/0025-cold-starts.md.
"""

import random
import ssl
from collections.abc import Callable
from importlib import import_module
from os import urandom
from typing import Any, Protocol, cast

from chalicelib import runtime
from chalicelib.api.routes import ROUTES


class Hooks(Protocol):
    """`snapshot_restore_py`, which Lambda's Python brings along."""

    def register_before_snapshot(self, func: Callable[[], Any], /) -> Any:
        """Have ``func`` called once, before the snapshot."""

    def register_after_restore(self, func: Callable[[], Any], /) -> Any:
        """Have ``func`` called in each copy, before its first request."""


def watch() -> None:
    """Have Lambda call `be_ready` before the snapshot, and `begin_anew` in each copy."""
    hooks = cast(Hooks, import_module("snapshot_restore_py"))
    hooks.register_before_snapshot(be_ready)
    hooks.register_after_restore(begin_anew)


def be_ready() -> None:
    """Import all that a request may need, and make what needs no connection. Nobody waits for it: it runs before the snapshot."""
    for module in sorted({route.view.module for route in ROUTES}):
        import_module(f"chalicelib.api.routes.{module}")
    runtime.engine()
    # It holds the way to credentials, which Lambda gives a copy anew, and asks for those when they are used and have expired.
    runtime.store()


def begin_anew() -> None:
    """Forget what is true of one process at one time only."""
    # What isn't secret, such as how long to wait before another try. Secrets come from the system, which notices being copied.
    random.seed()
    ssl.RAND_add(urandom(32), 32.0)
    runtime.begin_anew()
