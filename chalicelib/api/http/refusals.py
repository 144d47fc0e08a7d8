"""Routes that only refuse: methods that a path doesn't take, and unknown paths.

Chalice 1.34 and API Gateway answer both in shapes of their own: see `complete_routes`.
"""

from collections.abc import Callable

from chalice.app import Chalice, Response

from chalicelib.api.http.answering import answer
from chalicelib.api.http.exchange import Exchange
from chalicelib.api.http.workarounds import CORS, JSON, current_exchange
from chalicelib.errors import MethodNotAllowed, NotFound

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
_DEEPEST_UNKNOWN_PATH = 8


def complete_routes(app: Chalice) -> None:
    """Give every path all methods, and every unknown path an answer. Call it once, after the last route.

    - Chalice registers no HEAD for a GET route.
    - API Gateway answers 403 "Missing Authentication Token" to a method that a path doesn't have; so does ``chalice
      local`` to a path that nothing has (local.py, `handle_request`). A view that refuses is the only way to a 405 or a
      404 in our words.
    - The unknown paths are variables from the root on. API Gateway allows one variable among siblings, and none of
      Landfall's own paths starts with one, so the two trees never meet.
    """
    for path in list(app.routes):
        _complete(app, path)
    for depth in range(1, _DEEPEST_UNKNOWN_PATH + 1):
        unknown = "".join(f"/{{segment{level}}}" for level in range(1, depth + 1))
        _refuse(app, unknown, list(_METHODS), _no_such_path)


def _complete(app: Chalice, path: str) -> None:
    entries = app.routes[path]
    if "GET" in entries and "HEAD" not in entries:
        app.route(path, methods=["HEAD"], name=f"{entries['GET'].view_name}_head", **JSON)(entries["GET"].view_function)
    allowed = (*sorted(entries), "OPTIONS")

    def refuse_method(exchange: Exchange) -> Response:
        raise MethodNotAllowed(exchange.method, allowed)

    missing = [method for method in _METHODS if method not in entries]
    _refuse(app, path, missing, refuse_method)


def _refuse(app: Chalice, path: str, methods: list[str], refusal: Callable[[Exchange], Response]) -> None:
    def view(**_path_values: str) -> Response:
        response = answer(current_exchange(), refusal)
        # Registered without CORS, so that a preflight doesn't offer the method; a page may still read the refusal.
        response.headers |= CORS.get_access_control_headers()
        return response

    if methods:
        app.route(path, methods=methods, name="refusal", content_types=["*/*"], cors=False)(view)


def _no_such_path(exchange: Exchange) -> Response:
    raise NotFound(f"There is no path {exchange.url_path}.")
