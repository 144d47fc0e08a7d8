"""Delivers what the cloud would: the queue's messages to ``app.ingest``, the clock's events to scheduled functions.

``python -m dev.delivery`` runs it beside ``chalice local``, which never calls event handlers.
"""

import importlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from dev.catch_up import start_catching_up
from dev.configuration import REGION, Configuration
from dev.event_source import ACCOUNT, Context, Handler, MalformedAnswer, failed_messages, sqs_event
from dev.infra import QUEUE_NAME, client
from dev.jobs import job_loop
from dev.problem import describe, first_line
from dev.schedule import ScheduleLoop

_PER_REQUEST = 10  # SQS receives and deletes no more at a time
_POLL_SECONDS = 1  # also how long a stop may take
_LONGEST_PAUSE = 5.0

Message = dict[str, Any]


class DeliveryLoop:
    """Lambda's SQS event source mapping: receive, call the handler, delete what succeeded.

    A message that failed reappears after the queue's visibility timeout, until the queue's redrive policy moves it to
    the dead-letter queue. The loop survives an emulator that goes away and comes back.
    """

    def __init__(
        self,
        handler: Handler,
        queue_url: str,
        endpoint_url: str,
        *,
        batch: int = 100,
        function_name: str = "ingest",
        timeout_seconds: float = 30,
        log: Callable[[str], None] = lambda line: print(line, flush=True),
    ) -> None:
        """``batch`` is how many messages a call gets at most; ``log`` takes a line of text."""
        self._handler, self._queue_url, self._batch = handler, queue_url, batch
        self._function_name, self._timeout_seconds, self._log = function_name, timeout_seconds, log
        self._sqs = client("sqs", endpoint_url, read_timeout=_POLL_SECONDS + 10)
        self._queue_arn = f"arn:aws:sqs:{REGION}:{':'.join(queue_url.rsplit('/', 2)[-2:])}"
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._troubles = 0

    def start(self) -> None:
        """Run in a thread of its own."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self.run, name="delivery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Let the batch at hand finish, then end; waits for the thread, if there is one."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Deliver until `stop`."""
        while not self._stopping.is_set():
            try:
                self.deliver_once(wait_seconds=_POLL_SECONDS)
            except (BotoCoreError, ClientError) as error:
                self._pause(f"The queue cannot be reached ({first_line(error)}); trying again.")

    def deliver_once(self, wait_seconds: int = 0) -> int:
        """Deliver one batch, if there is one; returns how many messages succeeded.

        Raises:
            BotoCoreError, ClientError: the queue cannot be reached.
        """
        messages = list(self._receive(wait_seconds))
        if self._troubles and not messages:
            self._recover()
        if not messages:
            return 0
        failed = self._invoke(messages)
        self._delete(message for message in messages if message["MessageId"] not in failed)
        return len(messages) - len(failed)

    def _receive(self, wait_seconds: int) -> Iterator[Message]:
        """Up to a batch of messages: wait for the first, then take only what is already there."""
        seen: set[str] = set()
        while len(seen) < self._batch:
            answer = self._sqs.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=min(_PER_REQUEST, self._batch - len(seen)),
                WaitTimeSeconds=0 if seen else wait_seconds,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            )
            fresh = [message for message in answer.get("Messages", []) if message["MessageId"] not in seen]
            if not fresh:
                return
            seen.update(message["MessageId"] for message in fresh)
            yield from fresh

    def _invoke(self, messages: list[Message]) -> set[str]:
        """Call the handler; returns the ids of the messages that failed."""
        everything = {message["MessageId"] for message in messages}
        began = time.monotonic()
        try:
            answer = self._call(messages)
            failed = failed_messages(answer, everything)
        except MalformedAnswer as error:
            self._log(f"{self._function_name}: all {len(messages)} failed, since {error}")
            return everything
        except Exception as error:  # noqa: BLE001 - a function may raise anything; Lambda then fails the batch
            self._log(f"{self._function_name}: all {len(messages)} failed: {describe(error)}")
            self._pause()
            return everything
        self._recover()
        milliseconds = (time.monotonic() - began) * 1000
        outcome = f", {len(failed)} failed" if failed else ""
        self._log(f"{self._function_name}: {len(messages)} messages in {milliseconds:.0f} ms{outcome}")
        return failed

    def _call(self, messages: list[Message]) -> Any:
        event = sqs_event(messages, self._queue_arn, REGION)
        return self._handler(event, Context(self._function_name, self._timeout_seconds))

    def _delete(self, messages: Iterable[Message]) -> None:
        entries = [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]
        for first in range(0, len(entries), _PER_REQUEST):
            self._sqs.delete_message_batch(QueueUrl=self._queue_url, Entries=entries[first : first + _PER_REQUEST])

    def _pause(self, line: str = "") -> None:
        """Wait, longer each time in a row, so that an outage costs few tries; say so only the first time."""
        if line and not self._troubles:
            self._log(line)
        self._stopping.wait(min(_LONGEST_PAUSE, 0.2 * 2**self._troubles))
        self._troubles = min(self._troubles + 1, 10)

    def _recover(self) -> None:
        if self._troubles:
            self._log("Delivering again.")
        self._troubles = 0


def main() -> None:
    """Deliver to the application of this checkout until SIGTERM."""
    configuration = Configuration.from_environment()
    queue_url = os.environ.get("LANDFALL_QUEUE_URL") or f"{configuration.emulator_url}/{ACCOUNT}/{QUEUE_NAME}"
    application = importlib.import_module("app")
    loop = DeliveryLoop(application.ingest, queue_url, configuration.emulator_url, batch=configuration.delivery_batch)
    dead = DeliveryLoop(
        application.bury, f"{queue_url}-dead", configuration.emulator_url, batch=10, function_name="bury"
    )
    schedules, jobs = ScheduleLoop(application), job_loop(application)
    signal.signal(signal.SIGTERM, lambda *_: loop.stop())
    start_catching_up(configuration)
    schedules.start()
    jobs.start()
    dead.start()
    loop.run()
    dead.stop()


if __name__ == "__main__":
    main()
