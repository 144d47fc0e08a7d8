"""What goes wrong in the cloud, done to the stack one after the other."""

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

import psutil

from chaos.cutting import Cutter
from chaos.small_disk import SmallDisk
from chaos.stack import Stack
from dev.processes import Child

Say = Callable[[str], None]


def disturb(stack: Stack, random: Random, seconds: float, say: Say) -> Counter[str]:
    """Disturb the stack for so many seconds; returns how often what was done."""
    acts = _acts(stack, random)
    done: Counter[str] = Counter()
    order: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not order:  # each once before any comes again
            order = random.sample(sorted(acts), len(acts))
        time.sleep(min(random.uniform(0.5, 4), max(0.0, end - time.monotonic())))
        if not order or time.monotonic() >= end:
            continue
        name = order.pop()
        say(name)
        stack.journal.note(begins=name)
        told = acts[name]()
        stack.journal.note(ends=name, told=told)
        done[name] += 1
    return done


def _acts(stack: Stack, random: Random) -> dict[str, Callable[[], Any]]:
    """What can be done, by the names of a report, as far as the options have it."""
    acts: dict[str, dict[str, Callable[[], Any]]] = {
        "cuts": {
            "connections to S3 reset": lambda: stack.to_s3.cut(random, 0.5),
            "connections to Postgres reset": lambda: stack.to_postgres.cut(random, 0.5),
            "answers of S3 lost": lambda: _lose(stack.to_s3, 0.1, random.uniform(1, 4)),
            "answers of Postgres lost": lambda: _lose(stack.to_postgres, 0.02, random.uniform(1, 4)),
        },
        "api": {"API killed": lambda: _restart(stack.api, stack.start_api, random.uniform(0, 1))},
        "delivery": {"delivery killed": lambda: _restart(stack.delivery, stack.start_delivery, random.uniform(0, 2))},
        "postgres": {"Postgres killed": lambda: _restart_postgres(stack, random.uniform(0, 2))},
        "emulator": {"emulator killed": lambda: _restart_emulator(stack, random.uniform(0, 1))},
        "hangs": {
            "Postgres hangs": lambda: _hang(stack.postgres.child, random.uniform(0.5, 4)),
            "emulator hangs": lambda: _hang(stack.emulator.child, random.uniform(0.5, 4)),
        },
    }
    chosen = {name: act for fault, some in acts.items() if fault in stack.options.faults for name, act in some.items()}
    if stack.disk is not None and stack.has_small_disk:
        chosen["Postgres' disk full"] = partial(_fill_disk, stack, stack.disk, random)
    return chosen


def _lose(proxy: Cutter, share: float, seconds: float) -> None:
    proxy.lose(share)
    time.sleep(seconds)
    proxy.reopen()


def _restart(child: Child, start: Callable[[], None], pause: float) -> None:
    child.kill()
    time.sleep(pause)
    start()


def _restart_postgres(stack: Stack, pause: float) -> None:
    stack.postgres.kill()
    time.sleep(pause)
    stack.keep_log(stack.postgres.child)
    stack.postgres.start()


def _restart_emulator(stack: Stack, pause: float) -> None:
    """Nobody gets through before it has its versions and its queues again."""
    stack.to_s3.shut()
    stack.emulator.kill()
    time.sleep(pause)
    stack.keep_log(stack.emulator.child)
    stack.emulator.start()
    stack.deploy()
    stack.to_s3.reopen()


def _fill_disk(stack: Stack, disk: SmallDisk, random: Random) -> str:
    """Without room for its log, Postgres ends itself, and comes back once there is room."""
    disk.fill()
    time.sleep(random.uniform(1, 4))
    disk.empty()
    time.sleep(0.5)
    if stack.postgres.child.is_running:
        return "it stayed"
    stack.postgres.child.kill()
    stack.keep_log(stack.postgres.child)
    stack.postgres.start()
    return "it had ended"


def _hang(child: Child, seconds: float) -> None:
    """Have a server stand still for so long, as one does whose disk is slow."""
    parent = psutil.Process(child.pid)
    processes = [parent, *parent.children(recursive=True)]
    for process in processes:
        _leniently(process.suspend)
    time.sleep(seconds)
    for process in processes:
        _leniently(process.resume)


def _leniently(act: Callable[[], Any]) -> None:
    try:
        act()
    except psutil.Error:
        return  # it has ended by itself meanwhile
