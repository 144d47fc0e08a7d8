"""How the tests are shared out among processes, each of which has servers of its own."""

import os
import re

import psutil
import pytest
from xdist.scheduler import LoadScopeScheduling

# What takes long begins first, so that no process is left with it alone at the end.
_LONGEST = ("e2e", "clients", "first_use", "browser", "chaos", "deploy", "dev", "crash")
# Their tests share what one process makes once: the packaged template, or the usual ports.
_TOGETHER = ("deploy", "first_use")
_BYTES_OF_A_PROCESS = 2 * 1024**3  # with its PostgreSQL, emulator and API
_STACK = re.compile(r"[\[-](local|localstack|minio|ceph)[]-]")


def number_of_processes() -> int:
    """Three for two cores, if there is memory for so many: each waits a fifth of its time.

    Their servers want the cores, too: with two for each core, what waits for a moment only sometimes waits too long.
    """
    by_memory = psutil.virtual_memory().available // _BYTES_OF_A_PROCESS
    return max(1, min(3 * (os.cpu_count() or 1) // 2, by_memory))


def sort_by_duration(items: list[pytest.Item]) -> None:
    """Put the rooms first whose tests take long; within a room nothing changes."""
    items.sort(key=lambda item: _rank(_room(item.nodeid)))


class Sharing(LoadScopeScheduling):
    """Gives whole groups of tests to processes; those of a group run one after the other.

    The mark ``xdist_group`` would say the same, but xdist 3.8 loses it with pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """Tests belong together by their module; end-to-end tests by the stack they need; those of some rooms all.

    Example:
        >>> group("tests/e2e/test_landing.py::test_it_lands[minio]")
        'e2e minio'
    """
    room = _room(nodeid)
    if room == "e2e":
        found = _STACK.search(nodeid)
        return f"e2e {found[1] if found else 'deployed'}"
    return room if room in _TOGETHER else nodeid.partition("::")[0]


def _room(nodeid: str) -> str:
    return nodeid.removeprefix("tests/").partition("/")[0]


def _rank(room: str) -> int:
    return _LONGEST.index(room) if room in _LONGEST else len(_LONGEST)
