"""Ctrl-C and similar signals: noted whenever they come, obeyed only where nothing is half done.

An exception from a signal handler may come up between any two instructions: for example after a child was started and
before we know its process id, or in a destructor, where Python drops it. So the handler only notes the signal; code
that waits calls `obey`.
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
    """Have the signals that mean "stop" noted. A second one is obeyed at once, because what we are doing may hang."""
    for number in _SIGNALS:
        # With `nohup` we ignore the end of the terminal. We heed Ctrl-C even if a shell's & has it ignored.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _note)
    yield


def stop_listening() -> None:
    """Ignore these signals from now on: the code that stops everything must not be stopped itself."""
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
