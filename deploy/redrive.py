"""Dead events, back into the queue.

SQS has a redrive of its own, which no emulator offers; this does the same in the same order: send, then delete. Whatever
interrupts it doubles an event at worst, and ingestion takes an event any number of times.
"""

from typing import Any

from deploy.cloud import Cloud

_AT_ONCE = 10  # as many as SQS takes in a request


def redrive(cloud: Cloud, queue_url: str, dead_queue_url: str) -> int:
    """Move every message that is in the dead-letter queue now; returns how many."""
    sqs, moved, last = cloud.client("sqs"), 0, set[str]()
    while messages := _receive(sqs, dead_queue_url):
        fresh = [message for message in messages if message["MessageId"] not in last]
        if not fresh:
            break
        entries = [{"Id": str(number), "MessageBody": message["Body"]} for number, message in enumerate(fresh)]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        sent = [fresh[int(entry["Id"])] for entry in answer.get("Successful", [])]
        last.update(message["MessageId"] for message in sent)
        receipts = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(sent)]
        if receipts:
            sqs.delete_message_batch(QueueUrl=dead_queue_url, Entries=receipts)
        moved += len(sent)
    return moved


def _receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=_AT_ONCE, WaitTimeSeconds=1, VisibilityTimeout=30)
    return list(answer.get("Messages", []))
