"""Takes MinIO's webhook notifications and hands each to ``app.ingest``, as the queue would.

``python -m dev.webhook`` runs it beside ``chalice local`` in place of `dev.delivery`. MinIO keeps events in its queue
folder and sends one at a time, in order, every three seconds until it is answered 2xx. So an event that can't be
recorded now (no database) is refused with 503, and comes again. An event that can never be recorded must be accepted,
or everything behind it would wait forever. It is kept in a folder of dead events.

Source: MinIO RELEASE.2025-09-07T16-13-09Z, internal/event/target/webhook.go and internal/store.
"""

import hashlib
import hmac
import importlib
import os
import signal
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev.configuration import REGION, Configuration
from dev.event_source import ACCOUNT, Context, Handler, failed_messages, sqs_event
from dev.problem import describe
from dev.schedule import ScheduleLoop

DEAD_FOLDER = "dead-events"  # below the instance's own
_LARGEST_BODY = 1_048_576  # SQS takes no more either
_TARGET_ARN = f"arn:aws:sqs:{REGION}:{ACCOUNT}:minio-webhook"


class WebhookReceiver:
    """An HTTP server for one MinIO webhook target."""

    def __init__(
        self,
        handler: Handler,
        secret: str,
        dead_folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        """``secret`` is MinIO's ``auth_token``; it must not be empty, for the server may be reachable by others."""
        if not secret:
            raise ValueError("a webhook receiver without a secret would take events from anybody")
        self._handler, self._secret, self._dead_folder, self._log = handler, secret, dead_folder, log
        self._server = ThreadingHTTPServer((host, port), self._request_handler())
        self._server.daemon_threads = True

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

    def take(self, authorization: str, body: bytes) -> int:
        """The status to answer one notification with: 200 taken, 401 not MinIO's secret, 503 to be sent again."""
        if not hmac.compare_digest(authorization.encode(), f"Bearer {self._secret}".encode()):
            return 401
        message = _message(body)
        try:
            answer = self._handler(sqs_event([message], _TARGET_ARN, REGION), Context("ingest", 30))
            failed = failed_messages(answer, {message["MessageId"]})
        except Exception as error:  # noqa: BLE001 - a function may raise anything; the event must not be lost
            self._log(f"webhook: to be sent again: {describe(error)}")
            return 503
        if failed:
            self._bury(message["MessageId"], body)
        return 200

    def _bury(self, identifier: str, body: bytes) -> None:
        self._dead_folder.mkdir(parents=True, exist_ok=True)
        path = self._dead_folder / f"{identifier}.json"
        path.write_bytes(body)
        self._log(f"webhook: an event that can't be recorded is kept in {path}")

    def _request_handler(receiver) -> type[BaseHTTPRequestHandler]:
        class RequestHandler(BaseHTTPRequestHandler):
            timeout = 30

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal():
                    return self._answer(411)
                if int(length) > _LARGEST_BODY:
                    return self._answer(413)
                body = self.rfile.read(int(length))
                if len(body) < int(length):
                    return self._answer(400)  # cut off; it comes again
                self._answer(receiver.take(self.headers.get("Authorization", ""), body))

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                """Log nothing: ingestion logs what it did."""

        return RequestHandler


def _message(body: bytes) -> dict[str, Any]:
    return {
        "MessageId": str(uuid.uuid4()),
        "ReceiptHandle": "webhook",
        "Body": body.decode(errors="replace"),
        "MD5OfBody": hashlib.md5(body, usedforsecurity=False).hexdigest(),
    }


def main() -> None:
    """Receive for the application of this checkout until SIGTERM."""
    configuration = Configuration.from_environment()
    application = importlib.import_module("app")
    receiver = WebhookReceiver(
        application.ingest,
        os.environ.get("LANDFALL_WEBHOOK_SECRET", ""),
        configuration.home / DEAD_FOLDER,
        # MinIO in a container reaches the host by the bridge's address, not by the loopback interface.
        host=os.environ.get("LANDFALL_WEBHOOK_HOST", "127.0.0.1"),
        port=configuration.webhook_port,
    )
    schedules = ScheduleLoop(application)
    signal.signal(signal.SIGTERM, lambda *_: receiver.stop())
    schedules.start()
    receiver.run()


if __name__ == "__main__":
    main()
