"""Runs an operation in a fork that dies at one of its steps: before or after a request to S3, before or after a commit."""

import contextlib
import io
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import botocore.client
from botocore.exceptions import ReadTimeoutError
from sqlalchemy import text

from chalicelib import runtime
from chalicelib.errors import DatabaseUnavailable


@dataclass(frozen=True)
class Outcome:
    """How a fork ended. ``steps`` are those that it came to; ``value`` is what it returned, ``error`` what it raised."""

    died: bool
    steps: list[str]
    value: Any = None
    error: str = ""


@dataclass(frozen=True)
class Fault:
    """What goes wrong at which step, counted from 1; 0: never.

    Attributes:
        die_at: the process is killed.
        lose_at: the answer of a request or of a commit that was carried out is lost.
        fail_at: a commit is not carried out, because the connection breaks; the next one works.
    """

    die_at: int = 0
    lose_at: int = 0
    fail_at: int = 0


def in_fork(do: Callable[[], Any], fault: Fault = Fault(), later: timedelta = timedelta()) -> Outcome:
    """Run ``do`` in a process of its own.

    ``later``: by how much its clock is ahead.
    """
    reader, writer = os.pipe()
    began = datetime.now(UTC)
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run(os.fdopen(writer, "w", buffering=1), do, fault, later)
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [json.loads(line) for line in lines]
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        _wait_until_forgotten(began)
    last = told[-1] if told else {}
    return Outcome(
        os.WIFSIGNALED(status),
        [line["step"] for line in told if "step" in line],
        last.get("value"),
        last.get("error", ""),
    )


_CONNECTIONS = text("""
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_start > :began AND pid <> pg_backend_pid() AND backend_type = 'client backend'
""")


def _wait_until_forgotten(began: datetime) -> None:
    """Wait until the server has noticed that a process is dead that began then: until it does, its locks are held."""
    end = time.monotonic() + 2
    while time.monotonic() < end:
        with runtime.transaction() as session:
            if not session.scalar(_CONNECTIONS, {"began": began}):
                return
        time.sleep(0.01)


def _run(out: Any, do: Callable[[], Any], fault: Fault, later: timedelta) -> None:
    try:
        sys.stdout = io.StringIO()
        _step_by_step(out, fault)
        now = runtime.now
        runtime.now = lambda: now() + later
        try:
            out.write(json.dumps({"value": do()}, default=str) + "\n")
        except Exception:  # noqa: BLE001 - the parent is told, whatever it was
            out.write(json.dumps({"error": traceback.format_exc()}) + "\n")
        out.flush()
    finally:
        os._exit(0)


def _step_by_step(out: Any, fault: Fault) -> None:
    runtime.engine().dispose(close=False)  # a connection can't be shared with the parent; compiled statements can
    count = 0

    def step(name: str) -> bool:
        """Come to a step; whether its answer is to be lost."""
        nonlocal count
        count += 1
        out.write(json.dumps({"step": name}) + "\n")
        if count == fault.die_at:
            out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return count in (fault.lose_at, fault.fail_at)

    call, transaction = botocore.client.BaseClient._make_api_call, runtime.transaction

    def counted_call(client: Any, operation: str, parameters: Any) -> Any:
        step(f"before {operation}")
        answer = call(client, operation, parameters)
        if step(f"after {operation}") and count == fault.lose_at:
            raise ReadTimeoutError(endpoint_url="lost")
        return answer

    @contextlib.contextmanager
    def counted_transaction() -> Iterator[Any]:
        with transaction() as session:
            yield session
            if step("before commit") and count == fault.fail_at:
                raise DatabaseUnavailable("The database does not answer.")
        if step("after commit") and count == fault.lose_at:
            raise DatabaseUnavailable("The database does not answer.")

    botocore.client.BaseClient._make_api_call = counted_call
    runtime.transaction = counted_transaction
