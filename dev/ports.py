"""TCP ports of the loopback interface."""

import socket

from dev.configuration import HOST
from dev.problem import StackProblem


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether somebody listens on ``port``. Connections of a closed listener that still linger don't count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return False  # A privileged port: its owner-to-be will say so itself.
        except OSError:
            return True
    # macOS lets us bind beside a listener on all interfaces; only a connection tells.
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((HOST, port)) == 0


def require_free(port: int, variable: str, purpose: str) -> None:
    """Raises:
    StackProblem: the port is taken; the message names it and the variable that changes it.
    """
    if is_taken(port):
        raise StackProblem(
            f"Port {port} ({purpose}) is taken by another program; stop that, or choose another port with "
            f"{variable}, for example `{variable}={free_port()} make run`."
        )
