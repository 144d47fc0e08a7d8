"""Ctrl-C and its kin: noted whenever they come, obeyed only where nothing is half done.

An exception out of a signal handler may come up between any two instructions: after a child was started and before anybody
knew its process id, say, or in a destructor, where Python drops it. So the handler only notes; whatever waits calls `obey`.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_asked = threading.Event()


class Stopped(BaseException):
    """Somebody asked us to stop. Not an error, and nothing on the way may swallow it."""


@contextmanager
def stop_signals() -> Iterator[None]:
    """Have the signals that mean "stop" noted. A second one is obeyed at once: whatever we are at may hang."""
    for number in _SIGNALS:
        # `nohup` has us ignore the terminal's end. Ctrl-C is ours even where a shell's & ignores it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note)
    yield


def stop_listening() -> None:
    """What stops everything must not be stopped itself, neither by the signal that asked for it nor by the next one."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    _asked.clear()


def obey() -> None:
    """Raises:
    Stopped: a signal has come.
    """
    if _asked.is_set():
        raise Stopped


def _note(*_: object) -> None:
    obey()
    _asked.set()
