"""A signal that means "stop" is never lost, whatever Python is at when it comes."""

import subprocess
import sys

from dev.configuration import PROJECT


def _run(program: str) -> list[str]:
    result = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=20)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.split()


_START = """
import os, signal, time
from dev.stopping import Stopped, obey, stop_listening, stop_signals

def come(number=signal.SIGINT):
    os.kill(os.getpid(), number)
    time.sleep(0)
"""


def test_a_signal_that_comes_in_a_destructor_is_obeyed_after_it() -> None:
    """Python drops every exception out of a destructor, that of a signal handler too."""
    program = """
class Child:
    def __del__(self):
        come()
        print("finished")

with stop_signals():
    obey()
    Child()
    try:
        obey()
    except Stopped:
        print("obeyed")
"""
    assert _run(_START + program) == ["finished", "obeyed"]


def test_nohup_is_respected() -> None:
    program = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with stop_signals():
    come(signal.SIGHUP)
    obey()
    print("goes on")
"""
    assert "".join(_run(_START + program)) == "goeson"


def test_a_second_signal_is_obeyed_at_once_and_none_interrupts_the_stopping() -> None:
    program = """
with stop_signals():
    come(signal.SIGTERM)
    print("noted")
    try:
        come(signal.SIGHUP)
    except Stopped:
        print("obeyed")
    stop_listening()
    come()
    obey()
    print("stopped")
"""
    assert _run(_START + program) == ["noted", "obeyed", "stopped"]
