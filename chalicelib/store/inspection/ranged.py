"""An object as a file that is read in ranges, on demand, within limits that even a hostile object can't exceed."""

import io
import os
from collections.abc import Callable
from time import monotonic

BUDGET_BYTES = 1024 * 1024
_BLOCK = 16 * 1024
_MAX_FETCHES = 64
_MAX_CALLS = 100_000
_SECONDS = 5.0


class Exhausted(BaseException):
    """A limit is reached. It isn't an `Exception`: parsers catch those, and would go on with the loop that this must end."""


class RangedFile(io.RawIOBase):
    """Fetches blocks of an object as they are read, each once; adjacent blocks come in one request.

    Bytes and requests are limited because they cost. Calls and seconds are limited because a loop over blocks that are
    here costs, too. What would exceed a limit raises `Exhausted` before anything is fetched or allocated.
    """

    def __init__(
        self,
        fetch: Callable[[int, int], bytes],
        size: int,
        block: int = _BLOCK,
        most_bytes: int = BUDGET_BYTES,
        most_fetches: int = _MAX_FETCHES,
    ) -> None:
        """``fetch(start, stop)`` gets the bytes from ``start`` until before ``stop`` of an object of ``size`` bytes."""
        super().__init__()
        self.size = size
        self._fetch, self._block = fetch, block
        self._position = 0
        self._blocks: dict[int, bytes] = {}
        self._bytes_left, self._fetches_left, self._calls_left = most_bytes, most_fetches, _MAX_CALLS
        self._deadline = monotonic() + _SECONDS

    def in_smaller_blocks(self, block: int, most_fetches: int) -> "RangedFile":
        """The same object, with the bytes that are left, for a reader that reads a little here and there."""
        return RangedFile(self._fetch, self.size, block, self._bytes_left, most_fetches)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._count_call()
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise OSError("before the start of the object")
        self._position = base + offset
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        self._count_call()
        stop = self.size if size is None or size < 0 else min(self.size, self._position + size)
        if stop <= self._position:
            return b""
        first, last = self._position // self._block, (stop - 1) // self._block
        self._get(first, last)
        data = b"".join(self._blocks[number] for number in range(first, last + 1))
        start = self._position - first * self._block
        found = data[start : start + stop - self._position]
        self._position += len(found)
        return found

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def at(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes at ``position``."""
        self.seek(position)
        return self.read(size)

    def _get(self, first: int, last: int) -> None:
        """Fetch the missing ones of the blocks from ``first`` to ``last``; adjacent blocks come in one request."""
        if (last - first) * self._block > BUDGET_BYTES:
            raise Exhausted("bytes")
        run: list[int] = []
        for number in range(first, last + 2):
            if number <= last and number not in self._blocks:
                run.append(number)
            elif run:
                self._get_run(run[0], run[-1])
                run = []

    def _get_run(self, first: int, last: int) -> None:
        start, stop = first * self._block, min((last + 1) * self._block, self.size)
        if stop - start > self._bytes_left or self._fetches_left <= 0:
            raise Exhausted("bytes" if self._fetches_left else "requests")
        self._bytes_left -= stop - start
        self._fetches_left -= 1
        data = self._fetch(start, stop)
        for number in range(first, last + 1):
            offset = (number - first) * self._block
            self._blocks[number] = data[offset : offset + self._block]

    def _count_call(self) -> None:
        self._calls_left -= 1
        if self._calls_left < 0:
            raise Exhausted("calls")
        if self._calls_left % 64 == 0 and monotonic() > self._deadline:
            raise Exhausted("seconds")
