"""How often a caller may ask: a bucket of tokens, which one request takes one of, and which fills again with time."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second on average, and so many at once (``burst``) after a while without any."""

    per_second: float
    burst: int

    @property
    def seconds_each(self) -> float:
        """How long the bucket takes to get one token."""
        return 1 / self.per_second


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands: how many requests it may still make at once, and in how many seconds the bucket is full again."""

    rate: Rate
    left: int
    seconds_to_full: float
