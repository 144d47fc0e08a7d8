"""The whole local stack for end-to-end tests: its own Postgres, emulator, delivery loop and API, on free ports."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import urllib3
from sqlalchemy import Engine

from dev.postgres import Postgres


@dataclass
class Stack:
    """A running stack, and clients for its parts."""

    api_url: str
    bucket: str
    queue_url: str
    dead_queue_url: str
    s3: Any
    sqs: Any
    engine: Engine
    postgres: Postgres

    def get(self, path: str) -> Any:
        """The JSON at ``path``, which must answer 200; while the database restarts, asks again."""
        retry = urllib3.Retry(
            total=20, backoff_factor=0.2, backoff_max=2, status_forcelist=[503], raise_on_status=False
        )
        answer = urllib3.request("GET", self.api_url + path, retries=retry)
        assert answer.status == 200, answer.data
        return json.loads(answer.data)


def eventually(check: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether ``check`` comes true in time. Delivery is asynchronous: what matters is where it ends."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
