"""Dead letters: events that failed all their tries. Listed with the reason, tried again, or thrown away.

The command is the same for the local stack, ``python -m dev dead``, and for a stage, ``python -m deploy dead``. SQS has
a redrive of its own, but that takes all or nothing, and no emulator offers it. This does the same in the same order:
send, then delete. If it is interrupted, an event comes twice at worst, and ingestion takes an event any number of
times.
"""

import argparse
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.catalog.notifications import parse_message
from chalicelib.errors import MalformedNotification
from dev.problem import StackProblem, first_line

DEAD_FOLDER = "dead-events"  # below the stack's own, where MinIO's and Ceph's receiver keeps them
_AT_ONCE = 10  # as many as SQS takes in a request
_HOLD_SECONDS = 300  # how long a message is hidden from others while we look at it
_READABLE = "It can be read: the database was away, or refused it."
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@dataclass(frozen=True)
class DeadLetter:
    """An event that failed.

    Attributes:
        id: the message's.
        sent_at: when it was first sent.
        about: bucket and key of its first record; the beginning of its body if that can't be read.
        reason: why it failed, as far as the letter itself tells. The log of its tries has more.
    """

    id: str
    sent_at: datetime
    about: str
    reason: str
    body: str

    @classmethod
    def of(cls, identifier: str, sent_at: datetime, body: str, error: str = "") -> "DeadLetter":
        """The letter of a message. ``error`` is what the function said, if Lambda kept that."""
        about, reason = body[:100], error or _READABLE
        try:
            notices = parse_message(body)
            about = f"{notices[0].bucket}/{notices[0].key}" if notices else about
        except MalformedNotification as malformed:
            reason = error or str(malformed)
        return cls(identifier, sent_at, about, reason, body)

    def age(self, now: datetime) -> timedelta:
        """Time since it was first sent."""
        return max(timedelta(), now - self.sent_at)


@dataclass(frozen=True)
class Selection:
    """Which letters: those to which all of it applies. ``ids`` are ids or beginnings of them."""

    ids: tuple[str, ...] = ()
    reason: str = ""
    about: str = ""
    older_than: timedelta = timedelta()

    def takes(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether ``letter`` is one of them."""
        return (
            (not self.ids or letter.id.startswith(self.ids))
            and self.reason.lower() in letter.reason.lower()
            and self.about in letter.about
            and letter.age(now) >= self.older_than
        )


class DeadLetters(Protocol):
    """Where dead letters lie."""

    def each(self, selection: Selection, act: Callable[["Held"], None]) -> int:
        """Do ``act`` with each selected letter that is there now; returns how many there were."""
        ...


@dataclass(frozen=True)
class Held:
    """A letter that nobody else takes meanwhile."""

    letter: DeadLetter
    redrive: Callable[[], None]
    discard: Callable[[], None]


class DeadQueue:
    """A dead-letter queue of SQS, and the queue that its messages came from."""

    def __init__(self, sqs: Any, queue_url: str, dead_queue_url: str) -> None:
        self._sqs, self._queue_url, self._dead_queue_url = sqs, queue_url, dead_queue_url

    def each(self, selection: Selection, act: Callable[[Held], None]) -> int:
        """See `DeadLetters.each`. At the end, others can take the letters that are left."""
        now, count, seen = datetime.now(UTC), 0, set[str]()
        held: dict[str, str] = {}  # receipt by message id
        try:
            while messages := self._receive():
                fresh = [message for message in messages if message["MessageId"] not in seen]
                held.update((message["MessageId"], message["ReceiptHandle"]) for message in fresh)
                seen.update(message["MessageId"] for message in fresh)
                for message in fresh:
                    letter = _letter(message)
                    # A letter that was sent later is one that was redriven just now, and has died again.
                    if letter.sent_at <= now and selection.takes(letter, now):
                        act(Held(letter, partial(self._redrive, message, held), partial(self._discard, message, held)))
                        count += 1
        finally:
            self._release(list(held.values()))
        return count

    def _receive(self) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._dead_queue_url,
            MaxNumberOfMessages=_AT_ONCE,
            WaitTimeSeconds=1,
            VisibilityTimeout=_HOLD_SECONDS,
            AttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    def _release(self, receipts: list[str]) -> None:
        for first in range(0, len(receipts), _AT_ONCE):
            some = enumerate(receipts[first : first + _AT_ONCE])
            entries = [{"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": 0} for n, receipt in some]
            self._sqs.change_message_visibility_batch(QueueUrl=self._dead_queue_url, Entries=entries)

    def _redrive(self, message: dict[str, Any], held: dict[str, str]) -> None:
        self._sqs.send_message(QueueUrl=self._queue_url, MessageBody=message["Body"])
        self._discard(message, held)

    def _discard(self, message: dict[str, Any], held: dict[str, str]) -> None:
        self._sqs.delete_message(QueueUrl=self._dead_queue_url, ReceiptHandle=message["ReceiptHandle"])
        del held[message["MessageId"]]


def _letter(message: dict[str, Any]) -> DeadLetter:
    sent_at = datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC)
    error = message.get("MessageAttributes", {}).get("ErrorMessage", {}).get("StringValue", "")
    return DeadLetter.of(message["MessageId"], sent_at, message["Body"], error)


class DeadFolder:
    """The folder in which the receiver of MinIO's webhook keeps what can't be recorded."""

    def __init__(self, folder: Path, receiver_url: str, secret: str) -> None:
        self._folder, self._receiver_url, self._secret = folder, receiver_url, secret

    def each(self, selection: Selection, act: Callable[[Held], None]) -> int:
        """See `DeadLetters.each`."""
        now, count = datetime.now(UTC), 0
        for path in sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime):
            sent_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            letter = DeadLetter.of(path.stem, sent_at, path.read_text(errors="replace"))
            if selection.takes(letter, now):
                act(Held(letter, partial(self._redrive, path), path.unlink))
                count += 1
        return count

    def _redrive(self, path: Path) -> None:
        headers = {"Authorization": f"Bearer {self._secret}"}
        request = urllib.request.Request(self._receiver_url, path.read_bytes(), headers, method="POST")
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=40).close()
        except (urllib.error.URLError, OSError) as error:
            raise StackProblem(
                f"The webhook's receiver does not take {path.name} ({error}); is `make run` running?"
            ) from None
        path.unlink()  # an event that still can't be recorded was kept anew, under another name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command ``dead``."""
    parser.add_argument("action", nargs="?", choices=["list", "redrive", "discard"], default="list")
    parser.add_argument("ids", nargs="*", type=_id, metavar="ID", help="of a letter, or how it begins")
    parser.add_argument("--all", action="store_true", help="redrive or discard all of them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="those whose reason has this in it")
    parser.add_argument("--about", default="", metavar="TEXT", help="those whose bucket and key have this in them")
    parser.add_argument(
        "--older-than",
        type=_duration,
        default=timedelta(),
        metavar="TIME",
        help="those first sent so long ago: 90s, 10m, 2h, 3d",
    )
    parser.add_argument("--json", action="store_true", help="list whole letters, a JSON object a line")


def run(options: argparse.Namespace, letters: DeadLetters, confirm: Callable[[str], bool]) -> None:
    """Carry the command out.

    Raises:
        StackProblem: nothing was selected to act on, no letter has such an id, or the queue can't be read.
    """
    selection = Selection(tuple(options.ids), options.reason, options.about, options.older_than)
    try:
        _run(options, selection, letters, confirm)
    except (BotoCoreError, ClientError) as error:
        raise StackProblem(f"The queue of dead letters can't be read: {first_line(error)}") from None


def _run(
    options: argparse.Namespace, selection: Selection, letters: DeadLetters, confirm: Callable[[str], bool]
) -> None:
    if options.action == "list":
        _list(letters, selection, options.json)
        return
    if selection == Selection() and not options.all:
        raise StackProblem(f"Say which letters to {options.action}: ids, --reason, --about, --older-than, or --all.")
    if options.action == "redrive":
        count = letters.each(selection, lambda held: held.redrive())
        print(f"{count} {_noun(count)} back in the queue.")
    else:
        found: list[str] = []
        count = letters.each(selection, lambda held: found.append(held.letter.id))
        if count and not confirm(f"Throw {count} {_noun(count)} away for ever?"):
            raise StackProblem("Not discarded; nothing was changed.")
        # Only these: others may have come since.
        count = letters.each(Selection(tuple(found)), lambda held: held.discard()) if found else 0
        print(f"{count} {_noun(count)} thrown away.")
    _require_found(options.ids, count)


def ask(question: str) -> bool:
    """Ask the person at the terminal.

    Raises:
        StackProblem: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise StackProblem(f"{question} Nobody is there to answer; `--yes` says yes.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _list(letters: DeadLetters, selection: Selection, as_json: bool) -> None:
    now, found = datetime.now(UTC), list[DeadLetter]()
    letters.each(selection, lambda held: found.append(held.letter))
    for letter in sorted(found, key=lambda letter: letter.sent_at):
        if as_json:
            print(json.dumps(asdict(letter) | {"sent_at": letter.sent_at.isoformat()}))
        else:
            about, reason = _printable(letter.about), _printable(letter.reason)
            print(f"  {letter.id[:8]}  {_short(letter.age(now)):>5}  {about}\n{'':19}{reason}")
    if not as_json:
        print(f"{len(found)} {_noun(len(found))}.")
    _require_found(selection.ids, len(found))


def _require_found(ids: Sequence[str], count: int) -> None:
    if ids and not count:
        raise StackProblem(f"There is no dead letter {', '.join(ids)}.")


def _printable(text: str) -> str:
    """``text`` with control characters escaped. Anyone who may upload chooses it, and it must not control a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _noun(count: int) -> str:
    return "dead letter" if count == 1 else "dead letters"


def _short(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds >= _UNITS[unit] or unit == "s")
    return f"{seconds // _UNITS[unit]} {unit}"


def _id(text: str) -> str:
    if not text:  # from an empty shell variable, say: every id would begin with it
        raise argparse.ArgumentTypeError("an ID is empty")
    return text


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 10m, 2h or 3d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
