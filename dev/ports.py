"""TCP ports of the loopback interface."""

import socket

from dev.configuration import HOST
from dev.problem import StackProblem


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    """Whether somebody listens on ``port``."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def require_free(port: int, variable: str, purpose: str) -> None:
    """Make sure that ``port`` can be listened on.

    Raises:
        StackProblem: it cannot; the message names it and the variable that changes it.
    """
    # macOS lets us bind beside a listener on all interfaces; only a connection tells.
    if answers(port):
        reason = "is taken by another program; stop that"
    elif not _can_bind(port):
        # A high port may also be the near end of anybody's connection, and stays so for a minute after that closed.
        reason = "is held by a passing connection; try again in a minute"
    else:
        return
    raise StackProblem(
        f"Port {port} ({purpose}) {reason}, or choose another port with {variable}, "
        f"for example `{variable}={free_port()} make run`."
    )


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return True  # A privileged port: who is to listen there will say so itself.
        except OSError:
            return False
    return True
