"""TCP ports of the loopback interface."""

import random
import socket

from dev.configuration import HOST
from dev.problem import StackProblem

# Below those that systems give to outgoing connections: one of those might have a free port by the time it is listened on.
_PORTS = range(20_000, 32_768)


def free_port() -> int:
    """A port nobody listens on just now."""
    return next(port for port in random.sample(_PORTS, len(_PORTS)) if _refusal(port) is None)


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
    reason = "is taken by another program; stop that" if answers(port) else _refusal(port)
    if reason is not None:
        raise StackProblem(
            f"Port {port} ({purpose}) {reason}, or choose another port with {variable}, "
            f"for example `{variable}={free_port()} make run`."
        )


def require_loopback() -> None:
    """Make sure that there is an IPv4 loopback interface: everything here listens on it.

    Raises:
        StackProblem: there is none, as in a network namespace that nobody has set up.
    """
    with socket.socket() as listener, socket.socket() as probe:
        probe.settimeout(2)
        try:
            listener.bind((HOST, 0))
            listener.listen()
            probe.connect(listener.getsockname())  # `bind` succeeds even if the interface is down
        except OSError as error:
            raise StackProblem(
                f"This machine can't talk to itself at {HOST} ({error.strerror or error}), where the stack listens: bring the "
                "loopback interface up, for example with `ip link set lo up`."
            ) from None


def _refusal(port: int) -> str | None:
    """Why nothing could listen on ``port``; None if it could."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError:
            return "is kept for the superuser by this system; become that"
        except OSError:
            # A high port may also be the local end of any connection, and stays in use for a minute after that has
            # closed.
            return "is in use, or was a moment ago; try again in a minute"
    return None
