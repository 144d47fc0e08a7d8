"""The delivery loop against a real queue behaves as Lambda's event source does."""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dev.delivery import DeliveryLoop
from dev.infra import client
from dev.stack import Stack
from tests.support.aws import s3_client
from tests.support.waiting import eventually


class Recorder:
    """A handler that keeps what it gets, and answers or raises as told."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any] = lambda event: None) -> None:
        self.bodies: list[str] = []
        self.events: list[dict[str, Any]] = []
        self._answer = answer

    def __call__(self, event: dict[str, Any], context: Any) -> Any:
        assert context.get_remaining_time_in_millis() > 0
        assert context.aws_request_id
        assert context.function_name == "ingest"
        self.events.append(event)
        self.bodies += [record["body"] for record in event["Records"]]
        return self._answer(event)


@pytest.fixture
def queue(stack: Stack) -> Iterator["Queue"]:
    queue = Queue(stack)
    yield queue
    queue.sqs.purge_queue(QueueUrl=queue.url)
    queue.sqs.purge_queue(QueueUrl=queue.dead_url)


class Queue:
    def __init__(self, stack: Stack) -> None:
        self.sqs = client("sqs", stack.emulator.url)
        self.url, self.dead_url = stack.deployed.queue_url, stack.deployed.dead_queue_url
        self.sqs.purge_queue(QueueUrl=self.url)

    def send(self, *bodies: str) -> None:
        for body in bodies:
            attribute = {"kind": {"DataType": "String", "StringValue": "test"}}
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, MessageAttributes=attribute)

    def left(self, url: str | None = None) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        answer = self.sqs.get_queue_attributes(QueueUrl=url or self.url, AttributeNames=names)
        return sum(int(answer["Attributes"][name]) for name in names)


def test_the_event_equals_that_of_lambda(stack: Stack, queue: Queue) -> None:
    handler = Recorder()
    queue.send("hello")

    assert stack.delivery(handler).deliver_once() == 1

    [record] = handler.events[0]["Records"]
    assert record["body"] == "hello"
    assert record["eventSource"] == "aws:sqs"
    assert record["eventSourceARN"] == stack.deployed.queue_arn
    assert record["awsRegion"] == "us-east-1"
    assert record["md5OfBody"] == "5d41402abc4b2a76b9719d911017c592"
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert {"SenderId", "SentTimestamp", "ApproximateFirstReceiveTimestamp"} <= record["attributes"].keys()
    assert record["messageAttributes"]["kind"]["stringValue"] == "test"
    assert {"messageId", "receiptHandle"} <= record.keys()
    assert queue.left() == 0


def test_a_batch_is_filled_over_several_receives(stack: Stack, queue: Queue) -> None:
    handler = Recorder()
    queue.send(*(str(number) for number in range(37)))

    assert stack.delivery(handler, batch=25).deliver_once() == 25
    assert stack.delivery(handler, batch=25).deliver_once() == 12
    assert sorted(handler.bodies, key=int) == [str(number) for number in range(37)]
    assert queue.left() == 0


def test_only_reported_failures_come_back_and_end_in_the_dead_letter_queue(stack: Stack, queue: Queue) -> None:
    handler = Recorder(_report("bad"))
    queue.send("good", "bad")
    with _running(stack.delivery(handler)):
        assert eventually(lambda: queue.left(queue.dead_url) == 1, seconds=15)

    assert (handler.bodies.count("good"), handler.bodies.count("bad")) == (1, 5)
    assert queue.left() == 0


@pytest.mark.parametrize(
    "answer",
    [
        {"batchItemFailures": [{"itemIdentifier": "unknown"}]},
        {"batchItemFailures": [{"itemIdentifier": ""}]},
        {"batchItemFailures": [{"itemIdentifier": None}]},
        {"batchItemFailures": [{"id": "wrong key"}]},
        {"batchItemFailures": "all"},
        {"batchItemFailures": [], "not": {"json"}},
        "done",
    ],
)
def test_an_answer_that_lambda_cannot_read_fails_the_batch(stack: Stack, queue: Queue, answer: Any) -> None:
    queue.send("one", "two")
    assert stack.delivery(Recorder(lambda _: answer)).deliver_once() == 0
    assert queue.left() == 2


@pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
def test_an_empty_answer_means_success(stack: Stack, queue: Queue, answer: Any) -> None:
    queue.send("one", "two")
    assert stack.delivery(Recorder(lambda _: answer)).deliver_once() == 2
    assert queue.left() == 0


def test_an_exception_fails_the_batch_and_the_loop_goes_on(stack: Stack, queue: Queue) -> None:
    outcomes = iter([ValueError("no database\nmore"), None])
    lines: list[str] = []
    handler = Recorder(lambda _: _raise(next(outcomes)))
    queue.send("one")
    with _running(stack.delivery(handler, log=lines.append)):
        assert eventually(lambda: queue.left() == 0)

    assert handler.bodies == ["one", "one"]
    assert "ValueError: no database" in lines[0]
    assert not any("\n" in line for line in lines)


def test_an_object_put_arrives_within_a_second(stack: Stack, queue: Queue) -> None:
    arrived = threading.Event()
    handler = Recorder(lambda _: arrived.set())
    s3 = s3_client(stack.emulator.url)
    with _running(stack.delivery(handler)):
        time.sleep(0.2)
        s3.put_object(Bucket=stack.deployed.bucket, Key="a b/é.txt", Body=b"x")
        assert arrived.wait(1)

    [record] = json.loads(handler.bodies[0])["Records"]
    assert record["s3"]["object"]["key"] == "a+b/%C3%A9.txt"


def test_the_loop_survives_an_emulator_that_goes_away(stack: Stack, queue: Queue) -> None:
    lines: list[str] = []
    handler = Recorder()
    with _running(stack.delivery(handler, log=lines.append)):
        stack.emulator.stop()
        assert eventually(lambda: any("cannot be reached" in line for line in lines))

        time.sleep(1)
        stack.emulator.start()
        body = str(uuid.uuid4())
        queue.send(body)

        assert eventually(lambda: body in handler.bodies, seconds=15)

    assert len([line for line in lines if "cannot be reached" in line]) == 1


def _report(failing: str) -> Callable[[dict[str, Any]], Any]:
    def answer(event: dict[str, Any]) -> Any:
        failed = [record["messageId"] for record in event["Records"] if record["body"] == failing]
        return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in failed]}

    return answer


def _raise(error: Exception | None) -> None:
    if error is not None:
        raise error


@contextmanager
def _running(loop: DeliveryLoop) -> Iterator[None]:
    loop.start()
    try:
        yield
    finally:
        loop.stop()
