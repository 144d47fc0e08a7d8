"""How much an answer may read that isn't asked to be exact, so that it takes as long in a large catalogue as in a small one."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of one answer; None in their place asks for an exact one, however much that reads.

    Attributes:
        ranked: matches that a search ranks.
        counted: files that facets or folder sums count, and newest files among which a search looks for common words.
        seconds: how long to look for everything that matches, before the newest files have to do.
    """

    ranked: int
    counted: int
    seconds: float
