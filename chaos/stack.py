"""The real local stack, each part a process of its own, reached through proxies that can cut."""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random

from sqlalchemy import Engine, create_engine

from chalicelib.settings import Settings
from chaos import buckets
from chaos.cutting import Cutter
from chaos.delivery import FAULTS, FOLDER, SCHEDULE, SEED
from chaos.journal import Journal
from chaos.options import Options
from chaos.skewed_clock import VARIABLE as CLOCK
from chaos.small_disk import SmallDisk
from chaos.unreliable import NO_FAULTS, Faults
from dev.configuration import EMULATOR_PORT_VARIABLE, HOST, Configuration
from dev.database_setup import prepare
from dev.emulator import Emulator
from dev.infra import Deployed, client, deploy
from dev.ports import answers, free_port
from dev.postgres import Postgres
from dev.processes import Child

_VISIBILITY_SECONDS = 6
_LARGEST_SKEW = 10.0  # seconds
# So little that Postgres' own files leave the small disk some room.
_SMALL = "\nmax_wal_size = '64MB'\nmin_wal_size = '32MB'\n"


class Stack:
    """The stack. Processes are started by the main thread alone, since they die with the thread that started them."""

    def __init__(self, home: Path, options: Options, faults: Faults) -> None:
        """Nothing is started yet. ``faults`` are those of events, until `heal`."""
        self.home, self.options, self.faults = home, options, faults
        self.journal = Journal(home / "journal", "controller")
        self.disk = SmallDisk(home / "disk") if "disk" in options.faults else None
        has_disk = self.disk is not None and self.disk.mount()
        data = home / "disk" / "postgres" if has_disk else None
        self.has_small_disk = has_disk
        self.postgres, self.emulator = (
            Postgres(home, free_port(), data=data, durable=False),
            Emulator(home, free_port()),
        )
        self.to_postgres, self.to_s3 = Cutter(self.postgres.port), Cutter(self.emulator.port)
        self.configuration = Configuration(
            home=home, postgres_port=self.to_postgres.port, emulator_port=self.to_s3.port, api_port=free_port()
        )
        self.api, self.delivery = Child("api", home), Child("delivery", home)
        self.engine: Engine = create_engine(self.postgres.url)
        # Those of the checks go straight there; those of clients go through the proxy that cuts.
        self.s3 = client("s3", self.emulator.url, s3={"addressing_style": "path"})
        self.sqs = client("sqs", self.emulator.url)
        self._deployed: Deployed | None = None
        self._starts = self._kept = 0
        self._is_skewed, self._is_healed = "skew" in options.faults, False

    @property
    def buckets(self) -> tuple[str, ...]:
        """Those that the catalogue records; the first one is the application's."""
        return (self.configuration.bucket, *buckets.EXTRA)

    @property
    def s3_url(self) -> str:
        """Where clients reach S3."""
        return f"http://{HOST}:{self.to_s3.port}"

    @property
    def deployed(self) -> Deployed:
        """The queues and the bucket."""
        assert self._deployed is not None
        return self._deployed

    @property
    def delivery_logs(self) -> list[Path]:
        """What every delivery process wrote, the first one first. The present one's is complete once it is stopped."""
        return [*sorted(self.home.glob("logs/kept/*-delivery.log")), *self.home.glob("logs/delivery.log")]

    def start(self) -> None:
        """Start everything."""
        self.postgres.start()
        if self.has_small_disk:
            with (self.postgres.data / "postgresql.conf").open("a") as file:
                file.write(_SMALL)
            self.postgres.restart()
        self.emulator.start()
        buckets.make(self.s3)
        self.deploy(is_suspended=False)
        prepare(Settings.from_environment(self._environment()))
        self.start_api()
        self.start_delivery()

    def stop(self) -> None:
        """Stop everything."""
        self.api.stop()
        self.delivery.stop()
        self.engine.dispose()
        self.postgres.stop()
        self.emulator.stop()
        self.to_s3.close()
        self.to_postgres.close()
        if self.disk is not None and self.has_small_disk:
            self.disk.unmount()

    def deploy(self, *, is_suspended: bool = True) -> None:
        """Bring the emulator's queues and buckets up to what they are to be."""
        self._deployed = deploy(self.emulator.url, self.configuration.bucket, visibility_seconds=_VISIBILITY_SECONDS)
        buckets.configure(self.s3, self._deployed, is_suspended=is_suspended)

    def start_api(self) -> None:
        """Start the API, and wait until it answers."""
        self.keep_log(self.api)
        command = [sys.executable, "-m", "chaos.api", "local", "--stage", "local", "--host", HOST]
        self.api.start([*command, "--port", str(self.configuration.api_port), "--no-autoreload"], self._environment())
        self.api.wait_until(lambda: answers(self.configuration.api_port))

    def start_delivery(self) -> None:
        """Start the delivery of events."""
        self.keep_log(self.delivery)
        self.delivery.start([sys.executable, "-m", "chaos.delivery"], self._environment())

    def keep_log(self, child: Child) -> None:
        """Keep what a process wrote that has ended: a child's log is begun anew at its start."""
        if child.log.exists():
            self._kept += 1
            kept = self.home / "logs" / "kept" / f"{self._kept:04}-{child.log.name}"
            kept.parent.mkdir(exist_ok=True)
            child.log.rename(kept)

    def heal(self) -> None:
        """Have nothing go wrong from now on, and everything handed over that was held back."""
        self.faults, self._is_skewed, self._is_healed = NO_FAULTS, False, True
        self.to_s3.reopen()
        self.to_postgres.reopen()
        self.delivery.kill()
        self.start_delivery()
        self.api.require_running()

    def is_drained(self) -> bool:
        """Whether no event is on its way: neither held back, nor in the queue, nor on its way to the table of dead events."""
        urls = (self.deployed.queue_url, self.deployed.dead_queue_url)
        return not any(self._waiting(url) for url in urls) and not list(self._held_back.glob("*.json"))

    def _waiting(self, queue_url: str) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)["Attributes"]
        return sum(int(counts[name]) for name in names)

    def run(self, name: str, *arguments: str) -> str:
        """Run ``python -m chaos.healing`` with these arguments; what it printed. ``name`` is that of its log."""
        child = Child(name, self.home)
        environment = self._environment() | {"LANDFALL_DATABASE_URL": self.postgres.url, CLOCK: "0"}
        child.start([sys.executable, "-m", "chaos.healing", *arguments], environment)
        try:
            child.wait_for_success(300)
        finally:
            child.stop()
        return child.log.read_text()

    @property
    def _held_back(self) -> Path:
        return self.home / "held-back"

    def _environment(self) -> dict[str, str]:
        self._starts += 1
        random = Random(f"{self.options.seed}/{self._starts}")
        skew = random.uniform(-_LARGEST_SKEW, _LARGEST_SKEW)
        queue = f"{self.s3_url}/{self.deployed.queue_url.split('/', 3)[3]}"
        return self.configuration.child_environment(queue) | {
            "LANDFALL_EXTRA_BUCKETS": ",".join(buckets.EXTRA),
            # What events leave to be done is for the one repair at the end.
            "LANDFALL_AUDIT_MINUTES": "0",
            "LANDFALL_AUDIT_ACTIVE_MINUTES": "0",
            EMULATOR_PORT_VARIABLE: str(self.to_s3.port),
            SEED: f"{self.options.seed}/{self._starts}",
            FAULTS: json.dumps(asdict(self.faults)),
            FOLDER: str(self._held_back),
            SCHEDULE: "" if self._is_healed else "1",
            CLOCK: str(skew if self._is_skewed else 0),
        }


@contextmanager
def running(home: Path, options: Options, faults: Faults) -> Iterator[Stack]:
    """A stack that runs, with these faults between queue and function."""
    with ExitStack() as cleanup:
        stack = Stack(home, options, faults)
        cleanup.callback(stack.stop)
        stack.start()
        yield stack
