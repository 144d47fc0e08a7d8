"""A page in a real Chromium, which a test drives from here."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DRIVER = Path(__file__).with_name("browser_driver.py")


class Browser:
    """One page at a time; `browser_driver.py` is what does the work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, do: str, **values: Any) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"do": do, **values}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def evaluate(self, code: str, value: Any = None) -> Any:
        return self("evaluate", code=code, value=value)

    def wait(self, code: str, seconds: float = 60) -> None:
        self("wait", code=code, seconds=seconds)


@contextmanager
def open_browser(python: Path, chromium: str) -> Iterator[Browser]:
    """Start the browser that is the program ``chromium``; ``python`` has playwright."""
    command = [str(python), str(_DRIVER), chromium]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Browser(process)
    finally:
        process.terminate()
        process.wait(10)
