"""What can go wrong in the local stack, and how to say it in one line."""

import traceback


class StackProblem(Exception):
    """Something the developer can act on. The message is one clear sentence, plus log lines where they help."""


def describe(error: BaseException) -> str:
    """An exception and where it came from, in one line."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {first_line(error)}{place}"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message; its kind if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
