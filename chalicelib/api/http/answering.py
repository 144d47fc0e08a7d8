"""From what a route returns or raises to an answer: headers and a log line that all answers get."""

from collections.abc import Callable

from chalice.app import Response

from chalicelib import telemetry
from chalicelib.api.http import problems
from chalicelib.api.http.exchange import Exchange
from chalicelib.api.http.rate_headers import rate_headers

_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def answer(exchange: Exchange, work: Callable[[Exchange], Response]) -> Response:
    """Answer with what ``work`` returns, or with the problem that it raises. Every answer gets some headers and a log line."""
    problem = None
    try:
        response = work(exchange)
    except Exception as error:  # noqa: BLE001 - the outermost edge: Chalice would answer in a shape of its own
        response = problems.response_to(error, exchange)
        problem = problems.kind_of(type(error)).name
    if exchange.method == "HEAD":
        response.body = ""
    limits = rate_headers(exchange.standing) | ({"X-Landfall-Wait": "refused"} if exchange.may_not_wait else {})
    response.headers = {"X-Request-Id": exchange.request_id, **_ALWAYS, **limits, **response.headers}
    telemetry.log(
        "info",
        "request",
        method=exchange.method,
        route=exchange.route,
        status=response.status_code,
        ms=exchange.milliseconds,
        request_id=exchange.request_id,
        user_id=exchange.principal and exchange.principal.user_id,
        key_id=exchange.principal and exchange.principal.key_id,
        problem=problem,
    )
    return response
