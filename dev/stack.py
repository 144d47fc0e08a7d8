"""A stack to take apart: throw-away Postgres and emulator for tests and benchmarks.

with ephemeral_stack(tmp_path) as stack:
    stack.postgres.kill(); stack.postgres.start()
    loop = stack.delivery(handler); loop.start()
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev.delivery import DeliveryLoop
from dev.emulator import Emulator
from dev.event_source import Handler
from dev.infra import Deployed, deploy
from dev.ports import free_port
from dev.postgres import Postgres


@dataclass(frozen=True)
class Stack:
    """Both services, started, with bucket and queues in place."""

    postgres: Postgres
    emulator: Emulator
    deployed: Deployed

    def delivery(self, handler: Handler, **options: Any) -> DeliveryLoop:
        """A delivery loop from this stack's queue to ``handler``, not yet started."""
        return DeliveryLoop(handler, self.deployed.queue_url, self.emulator.url, **options)


@contextmanager
def ephemeral_postgres(home: Path) -> Iterator[Postgres]:
    """An empty server on a free port, without the disk's safety; stopped at the end."""
    postgres = Postgres(home, free_port(), durable=False)
    try:
        postgres.start()
        yield postgres
    finally:
        postgres.stop()


@contextmanager
def ephemeral_emulator(home: Path) -> Iterator[Emulator]:
    """An empty emulator on a free port; stopped at the end."""
    emulator = Emulator(home, free_port())
    try:
        emulator.start()
        yield emulator
    finally:
        emulator.stop()


@contextmanager
def ephemeral_stack(home: Path, bucket: str = "landfall-test", visibility_seconds: int = 2) -> Iterator[Stack]:
    """Both, with bucket, queues and notification deployed."""
    with ephemeral_emulator(home) as emulator, ephemeral_postgres(home) as postgres:
        deployed = deploy(emulator.url, bucket, visibility_seconds=visibility_seconds)
        yield Stack(postgres, emulator, deployed)
