"""What Lambda's SQS event source gives to a function, and what it makes of the answer. Pure.

Source: "Using Lambda with Amazon SQS" and "Handling errors for an SQS event source" in the Lambda developer guide.
"""

import base64
import json
import time
import uuid
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

# A function as Lambda calls it.
Handler = Callable[[dict[str, Any], Any], Any]

# The account of an emulator.
ACCOUNT = "000000000000"


class MalformedAnswer(ValueError):
    """The function answered something that Lambda takes for the failure of the whole batch."""


class Context:
    """The part of Lambda's context object that functions rely on."""

    memory_limit_in_mb = "1024"
    function_version = "$LATEST"

    def __init__(self, function_name: str, seconds: float) -> None:
        self.aws_request_id = str(uuid.uuid4())
        self.function_name = function_name
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function_name}"
        self.log_group_name = f"/aws/lambda/{function_name}"
        self.log_stream_name = "local"
        self._deadline = time.monotonic() + seconds

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would end the function; never negative."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def sqs_event(messages: list[dict[str, Any]], queue_arn: str, region: str) -> dict[str, Any]:
    """The event for ``messages`` as boto3's ``receive_message`` returns them."""
    return {"Records": [_as_json(_record(message, queue_arn, region)) for message in messages]}


def scheduled_event(rule: str, now: datetime, region: str) -> dict[str, Any]:
    """The event that an EventBridge schedule sends."""
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/{rule}"],
        "detail": {},
    }


def failed_messages(answer: Any, message_ids: Collection[str]) -> set[str]:
    """The messages that stay in the queue, out of ``message_ids``, given the function's ``answer``.

    Raises:
        MalformedAnswer: all of them stay.
    """
    try:
        answer = _as_json(answer)
    except (TypeError, ValueError) as error:
        raise MalformedAnswer(f"the answer is not JSON ({error})") from None
    if not answer:
        return set()
    if not isinstance(answer, dict):
        raise MalformedAnswer(f"the answer is a {type(answer).__name__}, not an object")
    failures = answer.get("batchItemFailures") or []
    if not isinstance(failures, list):
        raise MalformedAnswer("batchItemFailures is not a list")
    failed = {_identifier(failure) for failure in failures}
    if unknown := failed.difference(message_ids):
        raise MalformedAnswer(f"itemIdentifier {min(unknown)!r} is not in the batch")
    return failed


def _identifier(failure: Any) -> str:
    identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
    if not identifier or not isinstance(identifier, str):
        raise MalformedAnswer("a batch item failure has no itemIdentifier")
    return identifier


def _record(message: dict[str, Any], queue_arn: str, region: str) -> dict[str, Any]:
    attributes = message.get("MessageAttributes", {})
    record = {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": {name: str(value) for name, value in message.get("Attributes", {}).items()},
        "messageAttributes": {name: _attribute(value) for name, value in attributes.items()},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": region,
    }
    if "MD5OfMessageAttributes" in message:
        record["md5OfMessageAttributes"] = message["MD5OfMessageAttributes"]
    return record


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    attribute: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        attribute["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        attribute["binaryValue"] = base64.b64encode(value["BinaryValue"]).decode()
    return attribute


def _as_json(value: Any) -> Any:
    """``value`` after the trip through JSON that it makes on AWS."""
    return json.loads(json.dumps(value, allow_nan=False))
