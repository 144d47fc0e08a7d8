"""What starts work without an HTTP request: notifications, the clock and operators. Each delegates to services.

A module is imported when it is first asked for, because a function of `app.py` needs only one of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalicelib.triggers import audits as audits
    from chalicelib.triggers import ingest as ingest
    from chalicelib.triggers import jobs as jobs
    from chalicelib.triggers import keys as keys
    from chalicelib.triggers import operations as operations
    from chalicelib.triggers import schedules as schedules


def __getattr__(name: str) -> Any:
    if name in ("audits", "ingest", "jobs", "keys", "operations", "schedules"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
