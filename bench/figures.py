"""What a benchmark yields, and how it is measured: the candidate and its baseline in turn, so that drift affects both."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter

from sqlalchemy import Engine, create_engine

from chalicelib import runtime


@dataclass(frozen=True)
class Figure:
    """One measured line. ``ratio`` is None where there is nothing to compare with.

    Attributes:
        value, baseline: as text with their units.
        aim: what the project set itself, as text; ``""`` for none.
    """

    group: str
    name: str
    value: str
    baseline_name: str = ""
    baseline: str = ""
    ratio: float | None = None
    aim: str = ""


@dataclass(frozen=True)
class Note:
    """What must be known to read a group's figures; it stands above their table."""

    group: str
    text: str


def plain_engine() -> Engine:
    """SQLAlchemy and pg8000 as they come, on this process's database: without time limits, and with nothing of ours."""
    return create_engine(runtime.settings().database_url, connect_args={"ssl_context": False})


def seconds(action: Callable[[], object]) -> float:
    """How long ``action`` takes, once."""
    start = perf_counter()
    action()
    return perf_counter() - start


def in_turn(
    candidate: Callable[[], object], baseline: Callable[[], object], rounds: int
) -> tuple[list[float], list[float]]:
    """Seconds of ``rounds`` runs of each, alternating, after one of each that doesn't count."""
    candidate(), baseline()
    pairs = [(seconds(candidate), seconds(baseline)) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def milliseconds(values: list[float]) -> str:
    """The median, in milliseconds."""
    return f"{median(values) * 1000:.2f} ms"
