"""The running stack's application, for commands that work on its catalogue."""

import os
from typing import TYPE_CHECKING

from dev.configuration import Configuration

if TYPE_CHECKING:
    from chalicelib.services.context import Context


def context_of(configuration: Configuration) -> "Context":
    """What services need to work on a stack's catalogue, as Landfall itself."""
    os.environ.update(configuration.child_environment(os.environ.get("LANDFALL_QUEUE_URL", "")))
    from chalicelib import runtime  # only now: it reads the environment

    return runtime.context()
