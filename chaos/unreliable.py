"""What lies between a queue and a function, and loses, doubles, holds back and reorders what it should hand over."""

import json
import sys
import threading
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from chalicelib.catalog.changes import CheckRequest, ObjectChange
from chalicelib.catalog.notifications import Event, parse_message
from chalicelib.errors import MalformedNotification
from chaos.journal import now
from chaos.nonsense import is_poison
from dev.event_source import Context, Handler

_AT_ONCE = 50


@dataclass(frozen=True)
class Faults:
    """Which share of the messages is lost, handed over twice, and handed over late; and how late, in seconds, at most."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0
    longest: float = 0.0


NO_FAULTS = Faults()


class UnreliableHandler:
    """A handler in front of a handler. What it holds back is on disk, so that it survives when this process is killed."""

    def __init__(self, handler: Handler, folder: Path, buckets: Container[str], random: Random, faults: Faults) -> None:
        """``folder`` keeps what is held back; ``buckets`` are those whose events count."""
        self._handler, self._folder, self._buckets = handler, folder, buckets
        self._random, self._faults = random, faults
        folder.mkdir(parents=True, exist_ok=True)

    def __call__(self, event: dict[str, Any], context: Context) -> dict[str, Any]:
        """Hand over some of it, and say that all of it succeeded but what did not."""
        records = [record for record in event["Records"] if self._is_handed_over(record)]
        self._random.shuffle(records)
        return self._hand_over(records, context) if records else {"batchItemFailures": []}

    def start(self) -> None:
        """Hand over what is held back as soon as it is due, until the process ends."""
        threading.Thread(target=self._release, name="late events", daemon=True).start()

    def _is_handed_over(self, record: dict[str, Any]) -> bool:
        if is_poison(record["body"]):
            return True  # the queue counts its tries, and nobody would count those of a file
        name = self._fate()
        _say(chaos=name, message=record["messageId"], events=_told(record["body"]))
        if name in ("doubled", "late"):
            self._hold_back(record)
        return name in ("handed over", "doubled")

    def _fate(self) -> str:
        number = self._random.random()
        for name in ("lost", "doubled", "late"):
            if number < (share := getattr(self._faults, name)):
                return name
            number -= share
        return "handed over"

    def _hold_back(self, record: dict[str, Any]) -> None:
        due = time.time() + self._random.uniform(0, self._faults.longest)
        path = self._folder / f"{due * 1000:.0f}-{uuid4()}"
        path.write_text(json.dumps(record))
        path.rename(path.with_suffix(".json"))  # a half of one is never read

    def _release(self) -> None:
        while True:
            time.sleep(0.3)
            due = [path for path in self._folder.glob("*.json") if self._is_due(path)]
            self._random.shuffle(due)
            for first in range(0, len(due), _AT_ONCE):
                self._hand_over_late(due[first : first + _AT_ONCE])

    def _is_due(self, path: Path) -> bool:
        return self._faults == NO_FAULTS or int(path.name.split("-")[0]) <= time.time() * 1000

    def _hand_over_late(self, paths: list[Path]) -> None:
        # The same message may be among them twice, and a batch names a message once.
        records = {str(index): json.loads(path.read_text()) for index, path in enumerate(paths)}
        batch = [record | {"messageId": index} for index, record in records.items()]
        try:
            answer = self._hand_over(batch, Context("ingest", 30))
        except Exception:  # noqa: BLE001 - it stays where it is, and comes again
            time.sleep(1)
            return
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for index, path in enumerate(paths):
            if str(index) not in failed:
                path.unlink()

    def _hand_over(self, records: list[dict[str, Any]], context: Context) -> dict[str, Any]:
        """Call the handler; the log says what it was given and what came of it, for `chaos.counters`."""
        call = {"request_id": context.aws_request_id}
        _say(chaos="begin", **call, **_contents(records, self._buckets))
        answer: dict[str, Any] = self._handler({"Records": records}, context)
        failed = [item["itemIdentifier"] for item in answer["batchItemFailures"]]
        _say(chaos="end", **call, failed=len(failed), failures=failed)
        return answer


class UnwatchedHandler:
    """Calls a handler that doesn't log what becomes of each change; the log says how many it was given."""

    def __init__(self, handler: Handler, buckets: Container[str]) -> None:
        self._handler, self._buckets = handler, buckets

    def __call__(self, event: dict[str, Any], context: Context) -> dict[str, Any]:
        """Call it."""
        told = [one for record in event["Records"] for one in _told(record["body"])]
        _say(chaos="buried", events=told, **_contents(event["Records"], self._buckets))
        answer: dict[str, Any] = self._handler(event, context)
        return answer


def _contents(records: list[dict[str, Any]], buckets: Container[str]) -> dict[str, int]:
    """How many messages there are, how many of them nobody can read, records of other buckets, and distinct changes."""
    changes, poison, ignored = set(), 0, 0
    for record in records:
        try:
            events = list(parse_message(record["body"]))
        except MalformedNotification:
            poison += 1
            continue
        ignored += sum(event.bucket not in buckets for event in events)
        changes |= {
            (event.bucket, event.key, event.version_id, event.rank)
            for event in events
            if isinstance(event, ObjectChange) and event.bucket in buckets
        }
    return {"messages": len(records), "poison": poison, "ignored": ignored, "changes": len(changes)}


def _told(body: str) -> list[dict[str, Any]]:
    """What a message tells of, for the stories of a run that failed."""
    try:
        return [_named(event) for event in parse_message(body)]
    except MalformedNotification:
        return []


def _named(event: Event) -> dict[str, Any]:
    told = {"bucket": event.bucket, "key": event.key}
    change = event.told if isinstance(event, CheckRequest) else event
    told["version_id"] = change.version_id
    if isinstance(change, ObjectChange):
        told |= {"change": change.kind.name, "rank": change.rank, "etag": change.etag or ""}
    return told


def _say(**fields: Any) -> None:
    sys.stdout.write(f"{json.dumps({'time': now(), **fields})}\n")  # in one piece: other threads write, too
    sys.stdout.flush()
