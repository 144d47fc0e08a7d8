"""Takes notifications that MinIO or Ceph post, and hands them to ``app.ingest`` in batches, as the queue would.

``python -m dev.webhook`` runs it beside ``chalice local`` in place of `dev.delivery`.

- MinIO keeps events in its queue folder and sends one at a time, in order, every three seconds until it is answered
  2xx. It sends the secret in a header. Source: MinIO RELEASE.2025-09-07T16-13-09Z, internal/event/target/webhook.go.
- Ceph keeps the events of a persistent topic in the cluster and sends up to 84 at once, in any order, until each is
  answered 2xx. It sends no header of ours, so the secret is the path. Measured with 16.2.15 and 18.2.7.

An event that can't be recorded now (no database) is refused with 503, and comes again. An event that can never be
recorded must be accepted, or it would come forever, and with MinIO everything behind it would wait. It is laid away
as a dead event: at once if nobody can read it, else after its tries.
"""

import hashlib
import hmac
import importlib
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import MalformedNotification
from dev.catch_up import start_catching_up
from dev.configuration import REGION, Configuration
from dev.event_source import ACCOUNT, Context, Handler, failed_messages, sqs_event
from dev.jobs import job_loop
from dev.problem import describe
from dev.schedule import ScheduleLoop

_LARGEST_BODY = 1_048_576  # SQS takes no more either
_TARGET_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:webhook"
_AT_ONCE = 100
# An event that the application refused is tried so often and so long, as by the queue, before it counts as dead.
_TRIES = 5
_PATIENCE_SECONDS = 60.0
_REMEMBERED = 10_000
# Ceph tries again at once, hundreds of times a second.
_PAUSE_SECONDS = 1.0
# A request waits for the batches before its own.
_LONGEST_WAIT = 60.0


@dataclass
class _Arrival:
    """One notification that waits for its answer."""

    body: bytes
    message: dict[str, Any]
    answer: "Future[int]" = field(default_factory=Future)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Ceph opens up to 84 connections at once, and the usual backlog of 5 would reset most of them.
    request_queue_size = 256


class WebhookReceiver:
    """An HTTP server for the notifications of one store."""

    def __init__(
        self,
        handler: Handler,
        bury: Handler,
        secret: str,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        """``handler`` and ``bury`` are the application's functions for events, and for dead ones.

        ``secret`` is MinIO's ``auth_token``, or the path that Ceph posts to. It must not be empty, for the server may be
        reachable by others."""
        if not secret:
            raise ValueError("a webhook receiver without a secret would take events from anybody")
        self._handler, self._bury, self._secret, self._log = handler, bury, secret, log
        self._arrivals: Queue[_Arrival] = Queue()
        # How often each event was refused, and when first.
        self._refused: dict[str, tuple[int, float]] = {}
        self._server = _Server((host, port), self._request_handler())
        threading.Thread(target=self._work, name="webhook-batches", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self._server.serve_forever, name="webhook", daemon=True).start()

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.serve_forever()

    def stop(self) -> None:
        """Let the request at hand finish, then end."""
        threading.Thread(target=self._server.shutdown, daemon=True).start()

    def admits(self, path: str, authorization: str) -> bool:
        """Whether a request brings the secret."""
        return _is(path, f"/{self._secret}") or _is(authorization, f"Bearer {self._secret}")

    def take(self, body: bytes) -> int:
        """The status to answer one notification with: 200 taken, 503 to be sent again."""
        arrival = _Arrival(body, _message(body))
        self._arrivals.put(arrival)
        try:
            return arrival.answer.result(_LONGEST_WAIT)
        except TimeoutError:
            return 503

    def _work(self) -> None:
        """Hand over what has arrived, as many at a time as there are, for ever."""
        while True:
            batch = [self._arrivals.get()]
            with suppress(Empty):
                while len(batch) < _AT_ONCE:
                    batch.append(self._arrivals.get_nowait())
            self._hand_over(batch)

    def _hand_over(self, batch: list[_Arrival]) -> None:
        event = sqs_event([arrival.message for arrival in batch], _TARGET_ARN, REGION)
        identifiers = {arrival.message["MessageId"] for arrival in batch}
        try:
            failed = failed_messages(self._handler(event, Context("ingest", 30)), identifiers)
        except Exception as error:  # noqa: BLE001 - a function may raise anything; no event must be lost
            self._log(f"webhook: {len(batch)} to be sent again: {describe(error)}")
            for arrival in batch:
                arrival.answer.set_result(503)
            return
        for arrival in batch:
            arrival.answer.set_result(self._settle(arrival) if arrival.message["MessageId"] in failed else 200)

    def _settle(self, arrival: _Arrival) -> int:
        """What to answer to an event that the application did not record."""
        digest = arrival.message["MD5OfBody"]
        tries, first = self._refused.pop(digest, (0, time.monotonic()))
        self._refused[digest] = tries + 1, first
        while len(self._refused) > _REMEMBERED:
            del self._refused[next(iter(self._refused))]
        is_patient = tries + 1 < _TRIES or time.monotonic() < first + _PATIENCE_SECONDS
        if is_patient and _is_readable(arrival.body):
            return 503
        if not self._is_buried(arrival):
            return 503
        del self._refused[digest]
        return 200

    def _is_buried(self, arrival: _Arrival) -> bool:
        identifiers = {arrival.message["MessageId"]}
        try:
            event = sqs_event([arrival.message], _TARGET_ARN, REGION)
            return not failed_messages(self._bury(event, Context("bury", 30)), identifiers)
        except Exception as error:  # noqa: BLE001 - a function may raise anything; no event must be lost
            self._log(f"webhook: an event can't be recorded, nor laid away: {describe(error)}")
            return False

    def _request_handler(receiver) -> type[BaseHTTPRequestHandler]:
        class RequestHandler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                if not receiver.admits(self.path, self.headers.get("Authorization", "")):
                    return self._answer(401)  # before a byte of its body is read
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal():
                    return self._answer(411)
                # Python refuses to read a number of thousands of digits.
                if len(length) > len(str(_LARGEST_BODY)) or int(length) > _LARGEST_BODY:
                    return self._answer(413)
                body = self.rfile.read(int(length))
                if len(body) < int(length):
                    return self._answer(400)  # cut off; it comes again
                status = receiver.take(body)
                if status == 503:
                    time.sleep(_PAUSE_SECONDS)
                self._answer(status)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Log nothing: ingestion logs what it did."""

        return RequestHandler


def _is(text: str, secret: str) -> bool:
    return hmac.compare_digest(text.encode(), secret.encode())


def _is_readable(body: bytes) -> bool:
    try:
        parse_message(body)
    except MalformedNotification:
        return False
    return True


def _message(body: bytes) -> dict[str, Any]:
    return {
        "MessageId": str(uuid.uuid4()),
        "ReceiptHandle": "webhook",
        "Body": body.decode(errors="replace"),
        "Attributes": {"SentTimestamp": str(int(time.time() * 1000))},
        "MD5OfBody": hashlib.md5(body, usedforsecurity=False).hexdigest(),
    }


def main() -> None:
    """Receive for the application of this checkout until SIGTERM."""
    configuration = Configuration.from_environment()
    application = importlib.import_module("app")
    receiver = WebhookReceiver(
        application.ingest,
        application.bury,
        os.environ.get("LANDFALL_WEBHOOK_SECRET", ""),
        # MinIO in a container reaches the host by the bridge's address, not by the loopback interface.
        host=os.environ.get("LANDFALL_WEBHOOK_HOST", "127.0.0.1"),
        port=configuration.webhook_port,
    )
    schedules, jobs = ScheduleLoop(application), job_loop(application)
    signal.signal(signal.SIGTERM, lambda *_: receiver.stop())
    start_catching_up(configuration)
    schedules.start()
    jobs.start()
    receiver.run()


if __name__ == "__main__":
    main()
