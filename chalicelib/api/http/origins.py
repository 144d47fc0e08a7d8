"""Which web pages may read the API's answers. Chalice lets a route name one origin or all; a deployment may have several."""

from collections.abc import Callable, Collection

from chalice.app import Request, Response

_ALLOWED = "Access-Control-Allow-Origin"
ANY = "*"


def name_origin(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """HTTP middleware: an answer names the page's origin, if that is one of `LANDFALL_ORIGINS`, and otherwise none.

    A browser keeps an answer that doesn't name its page's origin from that page. Preflights never come here: API Gateway answers
    them, as `deploy/preflights.py` has it.
    """
    from chalicelib import runtime  # saves 250 ms of a start: SQLAlchemy and the models

    response = get_response(request)
    limit_to(response, str(request.headers.get("origin", "")), runtime.settings().origins)
    return response


def limit_to(response: Response, origin: str, allowed: Collection[str]) -> None:
    """Have a response name ``origin`` if it is one of ``allowed``; with `ANY` among these the response stays as it is."""
    if ANY in allowed or _ALLOWED not in response.headers:
        return
    del response.headers[_ALLOWED]
    response.headers["Vary"] = "Origin"  # or a cache would hand one page's answer to another
    if origin in allowed:
        response.headers[_ALLOWED] = origin
