"""At which of an operation's steps a test kills it. Each of them, in each test, would take an hour."""

import os
from collections.abc import Iterator
from itertools import count


def some_steps(stride: int, first: int = 1) -> Iterator[int]:
    """Every ``stride``-th step from ``first``, counted from 1; without CI's ``LANDFALL_TEST_ALL`` a third of them.

    With ``LANDFALL_CRASHES=all`` each step.
    """
    if os.environ.get("LANDFALL_CRASHES") == "all":
        return count(1)
    begins = 1 + (first - 1) % stride
    return count(begins, stride if os.environ.get("LANDFALL_TEST_ALL") else 3 * stride)
