"""What clients and the controller do, as lines of JSON in the run's folder, written as they do it."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class Journal:
    """The lines of one actor. ``time`` is when a line was written."""

    def __init__(self, folder: Path, who: str) -> None:
        """The file is ``folder``/``who``.jsonl."""
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"{who}.jsonl").open("a", buffering=1, encoding="utf-8")
        self._lock = threading.Lock()

    def note(self, **fields: Any) -> None:
        """Write a line."""
        line = json.dumps({"time": now(), **fields}, ensure_ascii=False, default=str)
        with self._lock:
            self._file.write(f"{line}\n")


def now() -> str:
    """This moment in UTC, to the millisecond, as the application's log has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
