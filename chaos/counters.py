"""Whether what the application logged of its events adds up."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

_IGNORED = "events of an unknown bucket dropped"


@dataclass
class _Call:
    """One call of the function: what it was given, what the log says of it, and whether it came to its end."""

    given: dict[str, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    lines: Counter[str] = field(default_factory=Counter)
    failed: int | None = None


@dataclass
class Totals:
    """Sums over all calls. ``unsure`` counts changes of calls that were killed, or that failed as a whole, and those of dead
    events, of which nothing is logged."""

    counts: Counter[str] = field(default_factory=Counter)
    unsure: int = 0


def count(logs: Iterable[Path]) -> tuple[dict[str, _Call], Totals]:
    """Read the logs of all delivery processes."""
    calls: dict[str, _Call] = defaultdict(_Call)
    totals = Totals()
    for line in _lines(logs):
        call = calls[line["request_id"]] if line.get("request_id") else _Call()
        match line:
            case {"chaos": "begin"}:
                call.given = line
            case {"chaos": "end"}:
                call.failed = line["failed"]
            case {"chaos": "buried", "changes": changes}:
                totals.unsure += changes
            case {"chaos": name}:
                totals.counts[name] += 1
            case {"message": "recorded", "outcomes": outcomes}:
                call.outcomes.update(outcomes)
            case {"Function": "ingest", "Changes": changes}:
                totals.counts["metric"] += changes
            case {"message": message}:
                call.lines[message] += line.get("count", 1)
    calls = {name: call for name, call in calls.items() if call.given}
    for call in calls.values():
        totals.counts.update(call.outcomes)
        totals.counts.update({name: call.given[name] for name in ("messages", "changes", "poison", "ignored")})
        totals.counts["failed"] += call.failed or 0
        totals.unsure += call.given["changes"] if call.failed is None else 0
    return calls, totals


def discrepancies(logs: Iterable[Path], engine: Engine) -> Iterator[str]:
    """Where the counts contradict each other, or the catalogue."""
    calls, totals = count(logs)
    for name, call in calls.items():
        if call.failed is not None:
            yield from (f"call {name}: {problem}; given {call.given}" for problem in _of_call(call))
    fresh = sum(totals.counts[name] for name in ("created", "updated", "deleted", "stale"))
    logged = fresh + totals.counts["duplicate"]
    if not totals.counts["metric"] <= logged <= totals.counts["metric"] + totals.unsure:
        yield f"the metric counts {totals.counts['metric']} changes, the log {logged}, and {totals.unsure} are unsure"
    with engine.connect() as connection:
        kept = connection.execute(text("SELECT count(*) FROM file_events")).scalar_one()
    if not fresh <= kept <= fresh + totals.unsure:
        yield f"the catalogue keeps {kept} events, the log has {fresh} new ones, and {totals.unsure} are unsure"


def _of_call(call: _Call) -> Iterator[str]:
    recorded, failed = call.outcomes.total(), call.failed or 0
    refused = failed - call.given["poison"]
    if call.lines["poison message"] != call.given["poison"] or refused < 0:
        yield f"{call.lines['poison message']} messages are called poison, {failed} have failed"
    if call.lines[_IGNORED] != call.given["ignored"]:
        yield f"{call.lines[_IGNORED]} events were ignored"
    # Messages that others held the keys of come again, and are counted then.
    if recorded > call.given["changes"] or (refused == 0 and recorded < call.given["changes"]):
        yield f"{recorded} changes were recorded, as {dict(call.outcomes)}, and {failed} messages have failed"


def _lines(logs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    for log in logs:
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith("{"):
                try:
                    yield json.loads(line)
                except ValueError:
                    continue  # the last one of a process that was killed
