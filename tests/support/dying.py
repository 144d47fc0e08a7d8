"""A process that ends in the middle of something, within the test's own process."""

from typing import Any, NoReturn


class Died(BaseException):
    """The process ends here: nothing of it catches this."""


def die(*_: Any, **__: Any) -> NoReturn:
    """End here, whatever was asked for."""
    raise Died
