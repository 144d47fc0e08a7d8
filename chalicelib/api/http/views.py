"""Chalice's view of a route, whose module is imported by the first request for it.

All modules of routes, with their schemas and services, take longer to import than Chalice, SQLAlchemy, pg8000 and pydantic
together. A cold start pays only for those that it uses: see docs/decisions/0025-cold-starts.md.
"""

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from chalice.app import Response

    from chalicelib.api.http.endpoint import Endpoint


class View:
    """What Chalice calls: the function ``name`` of ``module``, below `chalicelib.api.routes`."""

    def __init__(self, module: str, name: str) -> None:
        self.module = module
        self.__name__ = name  # Chalice asks for it

    def __call__(self, **path_values: str) -> "Response":
        return cast("Response", self._function(**path_values))

    @property
    def endpoint(self) -> "Endpoint":
        """What the route says about itself. Asking for it imports the module."""
        return cast("Endpoint", self._function.endpoint)

    @cached_property
    def _function(self) -> Any:
        return getattr(import_module(f"chalicelib.api.routes.{self.module}"), self.__name__)


class Route(NamedTuple):
    """A method of a path, and who answers it."""

    method: str
    path: str
    view: View
