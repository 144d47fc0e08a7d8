"""Drives a headless Chromium for tests under another Python: one JSON command a line in, one answer a line out.

Run as ``browser_driver.py <chromium>`` in the environment of ``dev/browser-requirements.txt``. Commands::

    {"do": "open", "url": ...}      a page in a browser context of its own
    {"do": "reload"}                the same page again, with what it has stored
    {"do": "evaluate", "code": ..., "value": ...}
    {"do": "wait", "code": ..., "seconds": ...}    until the code's value is true
    {"do": "throttle", "bytes": ...}    upload so many bytes a second; -1: as fast as it can
    {"do": "screenshot", "path": ...}
"""

import json
import sys
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

_OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update"]


class Driver:
    """One browser, one page at a time."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None

    def answer(self, command: dict[str, Any]) -> Any:
        return getattr(self, command.pop("do"))(**command)

    def open(self, url: str) -> None:
        if self._page:
            self._page.context.close()
        self._page = self._browser.new_context().new_page()
        self._page.goto(url)

    def reload(self) -> None:
        self._here.reload()

    def evaluate(self, code: str, value: Any = None) -> Any:
        return self._here.evaluate(code, value)

    def wait(self, code: str, seconds: float) -> None:
        self._here.wait_for_function(code, timeout=seconds * 1000)

    def throttle(self, bytes: float) -> None:
        session = self._here.context.new_cdp_session(self._here)
        session.send(
            "Network.emulateNetworkConditions",
            {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes},
        )

    def screenshot(self, path: str) -> None:
        self._here.screenshot(path=path, full_page=True)

    @property
    def _here(self) -> Page:
        assert self._page is not None
        return self._page


def main() -> None:
    with sync_playwright() as playwright:
        driver = Driver(playwright.chromium.launch(executable_path=sys.argv[1], args=_OPTIONS))
        for line in sys.stdin:
            try:
                answer = {"value": driver.answer(json.loads(line))}
            except Exception as error:  # noqa: BLE001 - the test is told, whatever it was
                answer = {"error": f"{type(error).__name__}: {error}"}
            sys.stdout.write(f"{json.dumps(answer)}\n")
            sys.stdout.flush()


main()
