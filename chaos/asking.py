"""Requests of a member: to the API, and by signed links to S3. Each is in the journal before it is sent, and its answer after."""

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import urllib3

from chaos.journal import Journal

# What an API that lost its database or its store may answer.
_UNAVAILABLE = 503
_LONGEST_BODY = 3000  # of an answer, in the journal


@dataclass(frozen=True)
class Answer:
    """An answer of the API."""

    status: int
    document: Any


class Asker:
    """Asks, one request after the other. ``surprises`` are answers that no route may give, whatever goes wrong behind it."""

    def __init__(self, url: str, journal: Journal) -> None:
        """``url`` is that of the API."""
        self._url, self._journal = url, journal
        self._pool = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=2, read=30))
        self.headers: dict[str, str] = {}
        self.answers: Counter[str] = Counter()
        self.surprises: list[str] = []
        self._asked = 0

    def require(self, method: str, path: str, document: Any) -> Any:
        """The answer of a route, which must come some time."""
        while (told := self.ask(method, path, document)) is None or told.status >= 400:
            threading.Event().wait(0.5)
        return told.document

    def ask(
        self, method: str, path: str, document: Any = None, body: bytes | None = None, content_type: str = ""
    ) -> Answer | None:
        """The API's answer; None if none came."""
        headers = dict(self.headers)
        if document is not None:
            body, content_type = json.dumps(document).encode(), "application/json"
        if content_type:
            headers["Content-Type"] = content_type
        target = self._url + quote(path, safe="/?=&%")
        answer = self._request(method, target, path, document, body=body, headers=headers, redirect=False)
        if answer is None:
            return None
        if answer.status >= 500 and answer.status != _UNAVAILABLE:
            self.surprises.append(f"{method} {path}: {answer.status} {answer.data[:600]!r}")
        if answer.status == _UNAVAILABLE:
            threading.Event().wait(0.1)
        is_json = "json" in answer.headers.get("Content-Type", "") and answer.data
        return Answer(answer.status, json.loads(answer.data) if is_json else None)

    def send(self, method: str, url: str, **options: Any) -> bool:
        """Send bytes to S3; returns whether it took them."""
        answer = self._request(method, url, f"S3 {urlsplit(url).path}", None, **options)
        return answer is not None and answer.status < 300

    def _request(
        self, method: str, url: str, what: str, document: Any, **options: Any
    ) -> urllib3.BaseHTTPResponse | None:
        self._asked += 1
        number, began = self._asked, time.monotonic()
        self._journal.note(request=number, asks=f"{method} {what}", document=document)
        try:
            answer = self._pool.request(method, url, **options)
        except urllib3.exceptions.HTTPError as error:
            self.answers["no answer from S3" if what.startswith("S3") else "no answer"] += 1
            seconds = round(time.monotonic() - began, 3)
            self._journal.note(request=number, asked=f"{method} {what}", seconds=seconds, error=repr(error))
            threading.Event().wait(0.3)
            return None
        self._journal.note(
            request=number,
            asked=f"{method} {what}",
            document=document,
            status=answer.status,
            seconds=round(time.monotonic() - began, 3),
            request_id=answer.headers.get("X-Request-Id"),
            body=answer.data[:_LONGEST_BODY].decode(errors="replace"),
        )
        if not what.startswith("S3"):
            self.answers[str(answer.status)] += 1
        return answer
