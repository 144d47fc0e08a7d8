"""A proxy that cuts connections, as networks and restarts of load balancers do."""

import socket
import struct
import threading
from contextlib import suppress
from random import Random

from dev.configuration import HOST

# Closing sends a reset instead of an end: the other side loses what it has not read yet.
_RESET = struct.pack("ii", 1, 0)


class Cutter:
    """Passes connections on to another port of this machine. While it is shut, nobody gets through."""

    def __init__(self, port: int) -> None:
        """``port`` is where connections lead to."""
        self._port = port
        self._server = socket.create_server((HOST, 0), backlog=128)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_shut = threading.Event()
        self._lost = 0.0
        self._random = Random(port)
        threading.Thread(target=self._accept, name="cutter", daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.getsockname()[1])

    def cut(self, random: Random, share: float) -> int:
        """Reset about this share of the open connections; returns how many."""
        with self._lock:
            chosen = [one for one in self._open if random.random() < share]
        for one in chosen:
            _reset(one)
        return len(chosen)

    def lose(self, share: float) -> None:
        """From now on, reset a connection instead of passing on what comes back, in about this share of cases. What was asked for
        is then done, and who has asked never learns of it."""
        self._lost = share

    def shut(self) -> None:
        """Let nobody through, and reset all who are."""
        self._is_shut.set()
        self.cut(Random(0), 1.1)

    def reopen(self) -> None:
        """Let connections through again, and all that comes back."""
        self._is_shut.clear()
        self._lost = 0.0

    def close(self) -> None:
        """End."""
        self.shut()
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(near,), daemon=True).start()

    def _serve(self, near: socket.socket) -> None:
        try:
            if self._is_shut.is_set():
                raise ConnectionRefusedError
            far = socket.create_connection((HOST, self._port), timeout=5)
        except OSError:
            _reset(near)
            near.close()
            return
        far.settimeout(None)
        with self._lock:
            self._open.add(near)
        back = threading.Thread(target=self._pump, args=(far, near, True), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        with self._lock:
            self._open.discard(near)
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket, is_back: bool = False) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if is_back and self._lost and self._random.random() < self._lost:
                    _reset(target)
                    break
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                # One that is to be reset is only read no more: an end that is sent in order would come before the reset.
                is_reset = one.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET)) == _RESET
                one.shutdown(socket.SHUT_RD if is_reset else socket.SHUT_RDWR)


def _reset(one: socket.socket) -> None:
    """Have a connection reset once the threads that wait for it have let go of it."""
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        one.shutdown(socket.SHUT_RD)
