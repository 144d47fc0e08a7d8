"""Plays the bell that wakes `app.run_jobs`: looks for jobs that requests leave to it, and has each done at once.

In the cloud a request rings through a bucket, because nothing else can be reached. Here, looking five times a second costs less
than another bucket, and works beside every store.
"""

import json
import threading
import time
from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID, uuid4

from chalicelib import runtime
from chalicelib.catalog.bells import bell_key
from chalicelib.catalog.commands import LEFT_TO_WORK
from chalicelib.services.jobs.queue import find_due_jobs
from dev.configuration import REGION
from dev.event_source import Context, sqs_event
from dev.problem import describe

_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE = 5.0
_AT_ONCE = 4
_QUEUE_ARN = f"arn:aws:sqs:{REGION}:000000000000:landfall-jobs"


class JobLoop:
    """Runs beside the delivery loop, in threads of its own, which the process's end may cut off: a job survives that."""

    def __init__(
        self,
        run: Callable[[UUID], Any],
        find: Callable[[int], Collection[UUID]],
        *,
        pause_seconds: float = _PAUSE_SECONDS,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        """``run`` does a job, ``find`` finds so many that are due, ``log`` takes a line of text."""
        self._run, self._find, self._pause_seconds, self._log = run, find, pause_seconds, log
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._look, name="jobs", daemon=True)
        self._under_way: dict[UUID, threading.Thread] = {}

    def start(self) -> None:
        """Run until `stop`, or until the process ends."""
        self._thread.start()

    def stop(self) -> None:
        """Let the jobs at hand have their turn, then end."""
        self._stopping.set()
        self._thread.join()
        for worker in self._under_way.values():
            worker.join()

    def _look(self) -> None:
        pause = self._pause_seconds
        while not self._stopping.wait(pause):
            self._under_way = {job_id: worker for job_id, worker in self._under_way.items() if worker.is_alive()}
            try:
                due = self._find(_AT_ONCE)
                pause = self._pause_seconds
            except Exception as error:  # noqa: BLE001 - the database may be away for a while; events say so, too
                if pause == self._pause_seconds:
                    self._log(f"run_jobs: {describe(error)}; looking again.")
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            for job_id in due:
                if job_id not in self._under_way and len(self._under_way) < _AT_ONCE:
                    self._under_way[job_id] = threading.Thread(target=self._try, args=(job_id,), daemon=True)
                    self._under_way[job_id].start()

    def _try(self, job_id: UUID) -> None:
        try:
            self._run(job_id)
        except Exception as error:  # noqa: BLE001 - a function may raise anything, and the next job must still be done
            self._log(f"run_jobs: failed: {describe(error)}")


def job_loop(application: Any) -> JobLoop:
    """A loop that calls `run_jobs` of ``application``, the ``app`` module, with the JSON that Lambda would get."""

    def run(job_id: UUID) -> None:
        application.run_jobs(bell_event(job_id), Context("run_jobs", 600))

    return JobLoop(run, due_jobs)


def due_jobs(limit: int) -> Collection[UUID]:
    """Jobs that are left to `run_jobs`, and are due, in this process's database."""
    with runtime.context().transaction() as tx:
        return find_due_jobs(tx, limit, LEFT_TO_WORK)


def bell_event(job_id: UUID) -> dict[str, Any]:
    """What Lambda gives to `run_jobs` when a request has rung for a job."""
    record = {
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "eventTime": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()),
        "s3": {"bucket": {"name": "bell"}, "object": {"key": bell_key(job_id), "size": 2, "eTag": "bell"}},
    }
    message = {
        "MessageId": str(uuid4()),
        "ReceiptHandle": "bell",
        "Body": json.dumps({"Records": [record]}),
        "Attributes": {},
        "MD5OfBody": "",
    }
    return sqs_event([message], _QUEUE_ARN, REGION)
