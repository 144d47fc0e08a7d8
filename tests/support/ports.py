"""Free ports of this machine, several at once."""

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many different ports nobody listens on just now. Asked for one after the other, two could be the same."""
    with ExitStack() as open_sockets:
        probes = [open_sockets.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
