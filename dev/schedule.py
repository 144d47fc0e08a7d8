"""Calls the application's scheduled functions with EventBridge's JSON, at the pace they have in the cloud."""

import threading
import time
from datetime import UTC, datetime
from typing import Any

from dev.configuration import REGION
from dev.event_source import Context, scheduled_event
from dev.problem import describe

# Seconds between two calls, by the function's name in app.py. The first call comes one interval after the start;
# the daily one comes soon, because few laptops run through a night.
_INTERVALS = {"inspect_pending": 60.0, "work": 60.0, "maintain": 86_400.0}
_FIRST_CALLS = {"maintain": 30.0}


class ScheduleLoop:
    """Runs beside the delivery loop, in a thread of its own: a slow schedule must not hold up events."""

    def __init__(self, application: Any) -> None:
        """``application`` is the ``app`` module. Functions it doesn't have are left out."""
        began = time.monotonic()
        self._functions = {name: getattr(application, name) for name in _INTERVALS if hasattr(application, name)}
        self._due = {name: began + _FIRST_CALLS.get(name, _INTERVALS[name]) for name in self._functions}

    def start(self) -> None:
        """Run until the process ends."""
        threading.Thread(target=self._run, name="schedules", daemon=True).start()

    def _run(self) -> None:
        while self._due:
            name = min(self._due, key=lambda one: self._due[one])
            time.sleep(max(0.0, self._due[name] - time.monotonic()))
            self.call(name)
            self._due[name] = time.monotonic() + _INTERVALS[name]

    def call(self, name: str) -> None:
        """Call one function now. Whatever it raises becomes a line of the log."""
        event = scheduled_event(name, datetime.now(UTC), REGION)
        try:
            self._functions[name](event, Context(name, seconds=600))
        except Exception as error:  # noqa: BLE001 - a function may raise anything, and the next call must still come
            print(f"{name}: failed: {describe(error)}", flush=True)
