"""``python -m chaos.delivery``: `dev.delivery` with events that are lost, doubled, late and out of order.

It does not catch up with the bucket when it starts, as `dev.delivery` does: what was lost is for the one repair at the
end. The schedule comes every few seconds instead of every minute.
"""

import importlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from random import Random
from typing import Any

from chaos.buckets import EXTRA
from chaos.skewed_clock import skew_clock
from chaos.unreliable import Faults, UnreliableHandler, UnwatchedHandler
from dev.configuration import Configuration
from dev.delivery import DeliveryLoop
from dev.jobs import job_loop
from dev.schedule import ScheduleLoop

FAULTS, SEED, FOLDER, SCHEDULE = "CHAOS_FAULTS", "CHAOS_SEED", "CHAOS_HELD_BACK", "CHAOS_SCHEDULE"
_LOOPS = 2  # as Lambda has several of a function at once


def main() -> None:
    """Deliver until SIGTERM."""
    skew_clock()
    configuration, random = Configuration.from_environment(), Random(os.environ[SEED])
    faults = Faults(**json.loads(os.environ[FAULTS]))
    application = importlib.import_module("app")
    folder = Path(os.environ[FOLDER])
    buckets = {configuration.bucket, *EXTRA}
    handler = UnreliableHandler(application.ingest, folder, buckets, random, faults)
    queue = os.environ["LANDFALL_QUEUE_URL"]
    url = configuration.emulator_url
    loops = [DeliveryLoop(handler, queue, url, batch=100, log=_log) for _ in range(_LOOPS)]
    burying = UnwatchedHandler(application.bury, buckets)
    loops.append(DeliveryLoop(burying, f"{queue}-dead", url, batch=10, function_name="bury", log=_log))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    handler.start()
    if os.environ[SCHEDULE]:
        threading.Thread(target=_run_schedule, args=(application, random), name="schedule", daemon=True).start()
        job_loop(application).start()
    for loop in loops[1:]:
        loop.start()
    loops[0].run()


def _run_schedule(application: Any, random: Random) -> None:
    schedule = ScheduleLoop(application)
    while True:
        time.sleep(random.uniform(1, 6))
        for name in ("inspect_pending", "work"):
            schedule.call(name)


def _log(line: str) -> None:
    """Write a line in one piece: `print` writes its end apart, and `chaos.counters` would miss what comes between."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
