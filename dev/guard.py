"""Becomes another program that dies with the one who started it, and runs without the superuser's rights if asked.

Run as a script (``python guard.py PARENT SIGNAL USER COMMAND...``), because a freshly started process can safely do
between fork and exec what a threaded parent can't. Standard library only; nothing of the project is imported.

PARENT is the process to die with, SIGNAL what the command gets then, USER an account name or ``-`` to stay as we are.
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
_CAP_DAC_OVERRIDE = 1
_ADVICE = "Clone Landfall where every account may go, such as below /srv or /opt, or run it as an ordinary user."


def main(arguments: list[str]) -> int:
    """Run the command; returns only where the kernel can't tie one process to another."""
    parent, number, user, *command = arguments
    if user != "-":
        try:
            _become(user)
        except OSError as error:
            return _refuse(f"This container doesn't let root become the account {user} ({error.strerror}). {_ADVICE}")
        # With the real user id, as Postgres's own programs ask for each other; `-` of a script is no path.
        if os.path.isabs(command[0]) and not os.access(command[0], os.X_OK):
            return _refuse(
                f"The account {user} can't reach {command[0]}: a folder above it is closed, and this container withholds the "
                f"right to pass (CAP_DAC_OVERRIDE, or CAP_SETPCAP). {_ADVICE}"
            )
    if not sys.platform.startswith("linux"):
        return _watch(int(parent), int(number), command)
    # After the change of user, which clears it.
    _prctl(_PR_SET_PDEATHSIG, int(number))
    if os.getppid() != int(parent):
        return 1  # It died before we asked to be told.
    os.execvp(command[0], command)


def _become(user: str) -> None:
    """Postgres refuses to run as root. An ordinary account can't enter a private folder such as /root, and opening
    other people's folders for it would be rude: so keep, of all rights, the one to pass through closed doors.
    """
    import pwd

    account = pwd.getpwnam(user)
    if sys.platform.startswith("linux"):
        _prctl(_PR_SET_KEEPCAPS, 1)
        # Without it, access(2), by which initdb looks for postgres, asks as if the process had no rights (its real user is
        # not root), and answers no where open(2) would say yes. Source: access_override_creds in the kernel's fs/open.c.
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(account.pw_gid)
    os.setuid(account.pw_uid)
    os.environ["HOME"], os.environ["USER"] = "/", user
    if sys.platform.startswith("linux"):
        _keep_only(_CAP_DAC_OVERRIDE)


def _keep_only(capability: int) -> None:
    """Best effort: a container may have withheld it, and a folder that is open to all needs none. All others go."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    for mask in (1 << capability, 0):
        # Effective, permitted and inheritable: the low words, then the (empty) high words.
        sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
        if ctypes.CDLL(None).capset(header, sets) == 0:
            break
    if mask:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


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
