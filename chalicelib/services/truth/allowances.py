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

    def spend(self, requests: int) -> None:
        """Note requests that are made."""
        self._requests -= requests
