"""One run: clients act, everything goes wrong, all is healed, and what must be true is checked."""

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from chaos import buckets, counters, stories, truth
from chaos.clients import Clients
from chaos.disturbances import Say, disturb
from chaos.options import Options
from chaos.stack import Stack, running
from chaos.truth import Difference
from chaos.unreliable import NO_FAULTS, Faults
from tests.support.waiting import eventually

_DRAIN_SECONDS = 180
# Minutes from the end at which the clock has its say: retries, processes that died, and uploads that nobody finished.
_LATER = ("0", "4", "10", "40", "3000")


@dataclass
class Report:
    """What came of a run: what is wrong, the stories of the keys concerned, and what was done."""

    wrong: list[Difference]
    before: int  # how much was wrong before the repair
    stories: dict[Path, list[Difference]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)


def run(home: Path, options: Options, say: Say) -> Report:
    """Let things go wrong, heal them, and say what is wrong then."""
    longest = min(180.0, options.seconds / 2)
    faults = Faults(lost=0.05, doubled=0.05, late=0.1, longest=longest) if "events" in options.faults else NO_FAULTS
    with running(home, options, faults) as stack:
        if stack.disk is not None and not stack.has_small_disk:
            say(f"Postgres' disk is never full: this machine lets nobody make a small one ({stack.disk.why_not})")
        clients = Clients(stack)
        with clients.at_work():
            say("clients are at work")
            threading.Event().wait(min(5.0, options.seconds / 5))
            buckets.configure(stack.s3, stack.deployed)  # one keeps no versions from now on
            done = disturb(stack, Random(options.seed), options.seconds, say)
        wrong = [Difference(f"a client broke: {trouble}") for trouble in clients.troubles]
        wrong += [Difference(sentence) for sentence in _heal(stack, say)]
        before = list(truth.differences(stack))
        say(f"without a repair, {len(before)} things are wrong")
        wrong += [Difference(sentence) for sentence in _repair(stack, say)] if options.repairs else []
        wrong += truth.differences(stack)
        wrong += [Difference(surprise) for asker in clients.askers for surprise in asker.surprises]
        wrong += truth.broken_promises(stack, clients.members)
        stack.delivery.stop()
        wrong += [Difference(sentence) for sentence in counters.discrepancies(stack.delivery_logs, stack.engine)]
        return Report(wrong, len(before), stories.tell(stack, wrong), _summary(stack, clients, done))


def _summary(stack: Stack, clients: Clients, done: Counter[str]) -> dict[str, Any]:
    _, totals = counters.count(stack.delivery_logs)
    answers = sum((asker.answers for asker in clients.askers), Counter[str]())
    return {
        "disturbances": dict(done),
        "answers": dict(answers),
        "files of members": sum(len(member.memory.files) for member in clients.members),
        "events": dict(totals.counts),
        "changes of calls that were cut short": totals.unsure,
    }


def _heal(stack: Stack, say: Say) -> list[str]:
    """Deliver what is outstanding, and let the clock go on; returns what could not be delivered."""
    say("healing")
    stack.journal.note(begins="healing")
    stack.heal()
    wrong = _drain(stack)
    say("the clock goes on")
    stack.run("clock", "clock", *_LATER)
    return wrong + _drain(stack)


def _repair(stack: Stack, say: Say) -> list[str]:
    """Repair once; returns what shows that it was not enough."""
    say("one repair")
    stack.journal.note(begins="the repair")
    repaired = _audit(stack, "repair")
    say("recorded by the repair: " + ", ".join(f"{audit['recorded']} in {audit['bucket']}" for audit in repaired))
    stack.run("clock-after", "clock", _LATER[-1])
    wrong = _drain(stack)
    again = _audit(stack, "audit")
    wrong += [f"an audit after the repair found something: {audit}" for audit in again if _has_drift(audit)]
    return wrong + [f"an audit did not end: {audit}" for audit in repaired + again if audit["state"] != "done"]


def _audit(stack: Stack, what: str) -> list[dict[str, Any]]:
    """Audit or repair every bucket."""
    lines = stack.run(what, what, *stack.buckets).splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"id"')]


def _has_drift(audit: dict[str, Any]) -> bool:
    return bool(audit["missing"] + audit["different"] + audit["gone"])


def _drain(stack: Stack) -> list[str]:
    # Twice: a message that is being handed over is neither held back nor in the queue for a moment.
    for _ in range(2):
        if not eventually(stack.is_drained, _DRAIN_SECONDS):
            return [f"events are still on their way after {_DRAIN_SECONDS} s"]
        threading.Event().wait(1)
    return []
