"""What a run does: for how long, from which seed, with which faults, and whether the repair is left out."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

# What may go wrong, by the names that ``FAULTS=`` takes.
FAULTS = {
    "events": "events are lost, doubled, late and out of order",
    "api": "the API is killed (SIGKILL)",
    "delivery": "the delivery of events is killed",
    "postgres": "Postgres is killed",
    "emulator": "the emulator is killed, with all that is in its queues",
    "cuts": "connections to S3 and to Postgres are reset, or answers of theirs are lost",
    "hangs": "Postgres and the emulator stand still for seconds, as with a slow disk",
    "disk": "Postgres' disk is full for seconds",
    "skew": "the clocks of API and delivery are wrong by up to ten seconds",
}


@dataclass(frozen=True)
class Options:
    """``seed`` decides what goes wrong, though not to the millisecond. ``repairs=False`` leaves the repair at the end out: the
    run then fails, and shows what events alone would have left."""

    seed: str
    seconds: float = 600.0
    faults: frozenset[str] = frozenset(FAULTS)
    repairs: bool = True

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Options":
        """Read ``SEED``, ``MINUTES``, ``FAULTS`` (all if empty) and ``REPAIR=0``.

        Raises:
            ValueError: one of them can't be understood.
        """
        names = frozenset((environ.get("FAULTS") or " ".join(FAULTS)).split())
        if unknown := names - FAULTS.keys() - {"none"}:
            raise ValueError(f"There are no such faults: {', '.join(sorted(unknown))}. There are {', '.join(FAULTS)}.")
        return cls(
            environ.get("SEED") or secrets.token_hex(4),
            float(environ.get("MINUTES") or 10) * 60,
            names - {"none"},
            environ.get("REPAIR") != "0",
        )
