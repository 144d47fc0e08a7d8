"""The settings and clients that the application keeps for the life of a process."""

from chalicelib import runtime


def start_over() -> None:
    """Forget them all: the next use reads the environment again."""
    for singleton in (
        runtime.settings,
        runtime.engine,
        runtime.store,
        runtime.guarantees,
        runtime.callers,
        runtime.rates,
    ):
        singleton.cache_clear()
