"""Runs an operation in a fork that dies at one of its steps: before or after a request to S3, before or after a commit."""

import contextlib
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import botocore.client
from botocore.exceptions import ReadTimeoutError

from chalicelib import runtime
from chalicelib.errors import DatabaseUnavailable


@dataclass(frozen=True)
class Outcome:
    """How a fork ended. ``steps`` are those that it came to; ``value`` is what it returned, ``error`` what it raised."""

    died: bool
    steps: list[str]
    value: Any = None
    error: str = ""


def in_fork(do: Callable[[], Any], die_at: int = 0, lose_at: int = 0, later: timedelta = timedelta()) -> Outcome:
    """Run ``do`` in a process of its own.

    Args:
        die_at: SIGKILL it at this step, counted from 1.
        lose_at: at this step, lose the answer of a request or of a commit that was carried out.
        later: by how much its clock is ahead.
    """
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run(os.fdopen(writer, "w", buffering=1), do, die_at, lose_at, later)
    os.close(writer)
    with os.fdopen(reader) as lines:
        told = [json.loads(line) for line in lines]
    _, status = os.waitpid(pid, 0)
    last = told[-1] if told else {}
    return Outcome(
        os.WIFSIGNALED(status),
        [line["step"] for line in told if "step" in line],
        last.get("value"),
        last.get("error", ""),
    )


def _run(out: Any, do: Callable[[], Any], die_at: int, lose_at: int, later: timedelta) -> None:
    try:
        sys.stdout = io.StringIO()
        _step_by_step(out, die_at, lose_at)
        now = runtime.now
        runtime.now = lambda: now() + later
        try:
            out.write(json.dumps({"value": do()}, default=str) + "\n")
        except Exception:  # noqa: BLE001 - the parent is told, whatever it was
            out.write(json.dumps({"error": traceback.format_exc()}) + "\n")
        out.flush()
    finally:
        os._exit(0)


def _step_by_step(out: Any, die_at: int, lose_at: int) -> None:
    runtime.engine().dispose(close=False)  # a connection can't be shared with the parent; compiled statements can
    count = 0

    def step(name: str) -> bool:
        """Come to a step; whether its answer is to be lost."""
        nonlocal count
        count += 1
        out.write(json.dumps({"step": name}) + "\n")
        if count == die_at:
            out.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return count == lose_at

    call, transaction = botocore.client.BaseClient._make_api_call, runtime.transaction

    def counted_call(client: Any, operation: str, parameters: Any) -> Any:
        step(f"before {operation}")
        answer = call(client, operation, parameters)
        if step(f"after {operation}"):
            raise ReadTimeoutError(endpoint_url="lost")
        return answer

    @contextlib.contextmanager
    def counted_transaction() -> Iterator[Any]:
        with transaction() as session:
            yield session
            step("before commit")
        if step("after commit"):
            raise DatabaseUnavailable("The database does not answer.")

    botocore.client.BaseClient._make_api_call = counted_call
    runtime.transaction = counted_transaction
