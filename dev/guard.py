"""Becomes another program that dies with its parent process, and that runs without the superuser's rights if asked.

Run as a script (``python guard.py PARENT SIGNAL USER COMMAND...``), because a freshly started process can safely do
between fork and exec what a threaded parent can't. Standard library only; nothing of the project is imported.

PARENT is the process to die with, SIGNAL is what the command gets then, and USER is an account name, or ``-`` for the
present one.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 28, 47, 2
_SECBIT_NO_SETUID_FIXUP = 4
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_READ_SEARCH = 2
_ADVICE = "Clone Landfall where every account may go, such as below /srv or /opt, or run it as an ordinary user."


def main(arguments: list[str]) -> int:
    """Run the command; returns only where the kernel can't tie one process to another."""
    parent, number, user, *command = arguments
    if user != "-":
        try:
            _become(user)
        except OSError as error:
            return _refuse(f"This container doesn't let root become the account {user} ({error.strerror}). {_ADVICE}")
        if not _may_pass(command):
            return _refuse(
                f"The account {user} can't reach {command[0]} or its data: a folder above is closed, and this container "
                f"withholds the right to pass (CAP_DAC_READ_SEARCH, or CAP_SETPCAP). {_ADVICE}"
            )
    if not sys.platform.startswith("linux"):
        return _watch(int(parent), int(number), command)
    # After the change of user, which clears it.
    _prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):
        return 1  # It died before we asked to be told.
    os.execvp(command[0], command)


def _become(user: str) -> None:
    """Become another account: Postgres refuses to run as root."""
    import pwd

    account = pwd.getpwnam(user)
    if sys.platform.startswith("linux"):
        _prctl(_PR_SET_KEEPCAPS, 1)
        # initdb looks for postgres by access(2). Without this bit, access(2) disregards the process's rights, because
        # its real user is not root, and says no where open(2) would say yes. Source: access_override_creds in the
        # kernel's fs/open.c.
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"], os.environ["USER"] = "/", user


def _may_pass(command: list[str]) -> bool:
    """Whether this account can reach the command, and read the files and folders that the command names.

    An ordinary account can't enter a private folder such as /root, and we don't want to open other people's folders for
    it. So of all of root's rights we keep the one to pass through closed folders, and only if a folder is closed.
    """

    def passes() -> bool:
        return os.access(command[0], os.X_OK) and all(os.access(path, os.R_OK) for path in _paths(command))

    if not os.path.isabs(command[0]) or not sys.platform.startswith("linux"):
        return True
    _keep(0, permitted=1 << _CAP_DAC_READ_SEARCH)
    if passes():
        _keep(0)
        return True
    _keep(1 << _CAP_DAC_READ_SEARCH)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH)
    return passes()


def _paths(command: list[str]) -> list[str]:
    """The files and folders that a command names: ``-D /data``, ``--pgdata=/data``."""
    return [path for path in (word.rpartition("=")[2] for word in command[1:]) if os.path.isabs(path)]


def _keep(effective: int, permitted: int = 0) -> None:
    """Give up all rights but these. If a container has withheld them, give up all."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    permitted |= effective
    for rights in ((effective, permitted), (0, 0)):
        # Effective, permitted and inheritable: the low words, then the (empty) high words.
        sets = (ctypes.c_uint32 * 6)(*rights, rights[1], 0, 0, 0)
        if ctypes.CDLL(None).capset(header, sets) == 0:
            return


def _refuse(sentence: str) -> int:
    sys.stderr.write(f"{sentence}\n")
    return 1


def _prctl(option: int, *values: int) -> None:
    padded = [*values, 0, 0, 0, 0][:4]
    ctypes.CDLL(None).prctl(option, *[ctypes.c_ulong(value) for value in padded])


def _watch(parent: int, number: int, command: list[str]) -> int:
    """Stay beside the command: hand our signals on, and send it ``number`` once the parent is gone."""
    child = subprocess.Popen(command)
    for forwarded in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(forwarded, lambda received, _: child.send_signal(received))

    def follow() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        child.send_signal(number)

    threading.Thread(target=follow, daemon=True).start()
    return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
