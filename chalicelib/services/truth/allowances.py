"""How much an audit's worker may do before it gives way."""

import math
import time


class Allowance:
    """So many seconds, and about so many requests to the object store. What is under way is still finished."""

    def __init__(self, seconds: float = math.inf, requests: float = math.inf) -> None:
        self._end, self._requests = time.monotonic() + seconds, requests

    @property
    def is_left(self) -> bool:
        """Whether the worker may go on."""
        return self._requests > 0 and time.monotonic() < self._end

    def part(self, requests: float) -> "Allowance":
        """An allowance of so many requests, within this one."""
        return _Part(self, requests)

    def spend(self, requests: int) -> None:
        """Note requests that are made."""
        self._requests -= requests


class _Part(Allowance):
    def __init__(self, whole: Allowance, requests: float) -> None:
        super().__init__(requests=requests)
        self._whole = whole

    @property
    def is_left(self) -> bool:
        return super().is_left and self._whole.is_left

    def spend(self, requests: int) -> None:
        super().spend(requests)
        self._whole.spend(requests)
