"""Dead events: those that failed all their tries. Listed with the reason, tried again, or thrown away.

The command is the same for the local stack, ``python -m dev dead``, and for a stage, ``python -m deploy dead``. Routes do the
same: ``/api/dead-events``.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from chalicelib.catalog.dead_events import DeadEvent, Redriven, Selection
from dev.problem import StackProblem

_MOST = 1000  # of a listing
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class DeadEvents(Protocol):
    """Where dead events lie."""

    def find(self, selection: Selection, limit: int) -> list[DeadEvent]:
        """Those that match, the longest untried first."""
        ...

    def redrive(self, selection: Selection) -> Redriven:
        """Try those that match again, for some seconds."""
        ...

    def discard(self, selection: Selection) -> int:
        """Throw those that match away; returns how many there were."""
        ...


class LocalDeadEvents:
    """Those of the running stack."""

    def __init__(self, ctx: Any) -> None:
        self._ctx = ctx

    def find(self, selection: Selection, limit: int) -> list[DeadEvent]:
        """See `DeadEvents`."""
        from chalicelib.services.ingest.dead_events import find_dead_events

        return find_dead_events(self._ctx, selection, limit)

    def redrive(self, selection: Selection) -> Redriven:
        """See `DeadEvents`."""
        from chalicelib.services.ingest.dead_events import redrive

        return redrive(self._ctx, selection)

    def discard(self, selection: Selection) -> int:
        """See `DeadEvents`."""
        from chalicelib.services.ingest.dead_events import discard

        with self._ctx.transaction() as tx:
            return discard(tx, selection)


class StageDeadEvents:
    """Those of a stage, asked for through the function that reaches its database."""

    def __init__(self, invoke: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """``invoke`` calls `chalicelib.triggers.operations.migrate` and returns its answer."""
        self._invoke = invoke

    def find(self, selection: Selection, limit: int) -> list[DeadEvent]:
        """See `DeadEvents`."""
        answer = self._ask("list", selection, limit=limit)
        return [
            DeadEvent(
                UUID(one["id"]),
                one["about"],
                one["reason"],
                _moment(one["sent_at"]),
                _moment(one["tried_at"]),
                one["body"],
            )
            for one in answer["events"]
        ]

    def redrive(self, selection: Selection) -> Redriven:
        """See `DeadEvents`."""
        return Redriven(**self._ask("redrive", selection))

    def discard(self, selection: Selection) -> int:
        """See `DeadEvents`."""
        return int(self._ask("discard", selection)["discarded"])

    def _ask(self, what: str, selection: Selection, **more: Any) -> dict[str, Any]:
        values = json.loads(json.dumps(asdict(selection), default=_text))
        return self._invoke({"action": "dead", "do": what, "selection": values, **more})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command ``dead``."""
    parser.add_argument("action", nargs="?", choices=["list", "redrive", "discard"], default="list")
    parser.add_argument("ids", nargs="*", type=_id, metavar="ID", help="of an event, or how it ends")
    parser.add_argument("--all", action="store_true", help="redrive or discard all of them")
    parser.add_argument("--reason", default="", metavar="TEXT", help="those whose reason has this in it")
    parser.add_argument("--about", default="", metavar="TEXT", help="those whose bucket and key have this in them")
    parser.add_argument(
        "--older-than",
        type=_duration,
        default=None,
        metavar="TIME",
        help="those first sent so long ago: 90s, 10m, 2h, 3d",
    )
    parser.add_argument("--json", action="store_true", help="list whole events, a JSON object a line")


def run(options: argparse.Namespace, events: DeadEvents, confirm: Callable[[str], bool]) -> None:
    """Carry the command out.

    Raises:
        StackProblem: nothing was selected to act on, or no event has such an id.
    """
    now = datetime.now(UTC)
    sent_before = None if options.older_than is None else now - options.older_than
    selection = Selection((), options.reason, options.about, sent_before)
    if options.action == "list":
        _list(_named(events.find(selection, _MOST), options.ids), options.json, now)
        return
    if not options.ids and selection == Selection() and not options.all:
        raise StackProblem(f"Say which events to {options.action}: ids, --reason, --about, --older-than, or --all.")
    if options.ids:
        selection = replace(selection, ids=tuple(one.id for one in _named(events.find(selection, _MOST), options.ids)))
    if options.action == "redrive":
        redrive_all(events, selection)
    else:
        _discard(events, selection, confirm)


def _named(found: Sequence[DeadEvent], ids: Sequence[str]) -> list[DeadEvent]:
    """Those with one of these ids, or ends of ids."""
    named = [one for one in found if not ids or str(one.id).endswith(tuple(ids))]
    if ids and not named:
        raise StackProblem(f"There is no dead event {', '.join(ids)}.")
    return named


def redrive_all(events: DeadEvents, selection: Selection) -> None:
    """Try all that match again, each once, however long it takes; prints what became of them."""
    selection = replace(selection, tried_before=datetime.now(UTC))
    recorded = failed = 0
    while True:
        done = events.redrive(selection)
        recorded, failed = recorded + done.recorded, failed + done.failed
        if not done.left or not done.recorded + done.failed:
            break
    print(f"{recorded} {_noun(recorded)} recorded." + (f" {failed} failed again." if failed else ""))


def _discard(events: DeadEvents, selection: Selection, confirm: Callable[[str], bool]) -> None:
    found = events.find(selection, _MOST)
    many = f"{len(found)} {_noun(len(found))}" if len(found) < _MOST else "all of them"
    if found and not confirm(f"Throw {many} away for ever?"):
        raise StackProblem("Not discarded; nothing was changed.")
    # Only these, if they were counted: others may have come since.
    named = selection if len(found) >= _MOST else replace(selection, ids=tuple(one.id for one in found))
    count = events.discard(named) if found else 0
    print(f"{count} {_noun(count)} thrown away.")


def ask(question: str) -> bool:
    """Ask the person at the terminal.

    Raises:
        StackProblem: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise StackProblem(f"{question} Nobody is there to answer; `--yes` says yes.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _list(found: Sequence[DeadEvent], as_json: bool, now: datetime) -> None:
    for event in sorted(found, key=lambda event: event.sent_at):
        if as_json:
            print(json.dumps(asdict(event), default=_text))
        else:
            about, reason = _printable(event.about), _printable(event.reason)
            age = _short(max(timedelta(), now - event.sent_at))
            print(f"  {str(event.id)[-8:]}  {age:>5}  {about}\n{'':19}{reason}")
    if not as_json:
        more = ", and there may be more" if len(found) == _MOST else ""
        print(f"{len(found)} {_noun(len(found))}{more}.")


def _printable(text: str) -> str:
    """``text`` with control characters escaped. Anyone who may upload chooses it, and it must not control a terminal."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _noun(count: int) -> str:
    return "dead event" if count == 1 else "dead events"


def _short(age: timedelta) -> str:
    seconds = int(age.total_seconds())
    unit = next(unit for unit in ("d", "h", "m", "s") if seconds >= _UNITS[unit] or unit == "s")
    return f"{seconds // _UNITS[unit]} {unit}"


def _id(text: str) -> str:
    if not text:  # from an empty shell variable, say: every id would end with it
        raise argparse.ArgumentTypeError("an ID is empty")
    return text


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time: write 90s, 10m, 2h or 3d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
