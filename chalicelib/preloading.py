"""What a Lambda function imports while it starts. Everything else is imported by the first request that needs it.

Lambda gives a start more of a processor than a request, and provisioned concurrency and SnapStart do it before anybody waits.
Without Lambda nothing is preloaded.
"""

import gc
from importlib import import_module

_EVENTS = ("chalicelib.triggers.ingest",)
_CLOCK = ("chalicelib.triggers.schedules",)
# By the function's name in app.py; "app" answers HTTP. Most of its requests are about files.
PRELOADED = {
    "app": ("chalicelib.api.routes.files", "chalicelib.api.routes.uploads"),
    "ingest": _EVENTS,
    "ingest_direct": _EVENTS,
    "bury": _EVENTS,
    "inspect_pending": _CLOCK,
    "work": _CLOCK,
    "run_jobs": ("chalicelib.triggers.jobs",),
    "audit": ("chalicelib.triggers.audits",),
    "maintain": _CLOCK,
    "fetch_keys": ("chalicelib.triggers.keys",),
    "migrate": ("chalicelib.triggers.operations",),
}


def preload(function: str) -> None:
    """Import what this function always needs; nothing if there is no such function."""
    # Modules make objects by the hundred thousand, and none of it is garbage. Looking for some takes a tenth of the imports'
    # time, and later it would take time again and again: what is there now stays for the life of the process.
    gc.disable()
    try:
        for module in PRELOADED.get(function, ()):
            import_module(module)
    finally:
        gc.freeze()
        gc.enable()
