"""`endpoint`: everything between a Chalice route and a service call, the same for all routes.

::

    @routes.route("/api/users/{user_id}", methods=["PATCH"], **JSON)
    @endpoint(path=UserPath, body=UserPatch, response=UserOut, errors=(NotFound, Conflict))
    def patch_user(call: Call[UserPath, None, UserPatch]) -> User:
        '''Change some fields of a user.'''
        return users.patch_user(call.session, call.principal, call.path.user_id, call.body, call.now)
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Generic, cast

from chalice.app import Response
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypeVar

from chalicelib import runtime, telemetry
from chalicelib.api import problems, reading
from chalicelib.api.chalice_workarounds import JSON as JSON
from chalicelib.api.chalice_workarounds import current_exchange
from chalicelib.api.exchange import Exchange
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import Contention, LandfallError
from chalicelib.services import Session
from chalicelib.services.principals import Principal, identify
from chalicelib.settings import Settings

PathT = TypeVar("PathT", default=Any)
QueryT = TypeVar("QueryT", default=Any)
BodyT = TypeVar("BodyT", default=Any)

View = Callable[..., Response]
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
JSON_TYPES = ("application/json",)


@dataclass(frozen=True, slots=True)
class Call(Generic[PathT, QueryT, BodyT]):
    """One validated request. ``Call[UserPath, None, UserPatch]`` says which models its parts are of.

    ``session`` is None on a route that is not transactional, ``principal`` on an anonymous one: such routes don't touch
    them. ``now`` is UTC, to the millisecond. ``base_url`` + ``url_path`` is the request's URL as links tell it, without query;
    ``base_url`` ends in no slash.
    """

    session: Session
    principal: Principal
    settings: Settings
    now: datetime
    request_id: str
    path: PathT
    query: QueryT
    body: BodyT
    raw_body: bytes
    content_type: str
    base_url: str
    url_path: str
    exchange: Exchange


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """A header that a route reads, as the OpenAPI document tells of it."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status or headers of its own.

    ``is_ready``: the body is of JSON's own types and in the response's shape to the letter, so that it is written as it is
    instead of being validated and built anew: worth it for long lists, and pinned by a test for each that says so.
    """

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    is_ready: bool = False


@dataclass(frozen=True)
class Endpoint:
    """What `endpoint` was told, for the OpenAPI document, and how to serialise."""

    function: Callable[[Any], Any]
    response: Any
    status: int
    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    errors: tuple[type[LandfallError], ...]
    content_types: tuple[str, ...]
    anonymous: bool
    transactional: bool
    media_type: str
    also: tuple[int, ...]
    raw_body: type[BaseModel] | None
    headers: tuple[RequestHeader, ...]

    @property
    def reads_body(self) -> bool:
        """Whether a body is expected: its media type is checked even where the route itself parses it."""
        return self.body is not None or self.content_types != JSON_TYPES

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """Built at the first answer: building all of them at import would cost every cold start."""
        return TypeAdapter(self.response)

    def serialise(self, body: Any, is_ready: bool) -> str:
        """``body`` as text: through the response schema, or as it is where there is none or it is ready."""
        if self.response is None or body is None:
            return "" if body is None else str(body)
        if is_ready:
            return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
        value = self.adapter.validate_python(body, from_attributes=True)
        return self.adapter.dump_json(value).decode()


def endpoint(
    *,
    response: Any,
    status: int = 200,
    path: type[BaseModel] | None = None,
    query: type[BaseModel] | None = None,
    body: type[BaseModel] | None = None,
    errors: tuple[type[LandfallError], ...] = (),
    content_types: tuple[str, ...] = JSON_TYPES,
    anonymous: bool = False,
    transactional: bool = True,
    media_type: str = "application/json",
    also: tuple[int, ...] = (),
    raw_body: type[BaseModel] | None = None,
    headers: tuple[RequestHeader, ...] = (),
) -> Callable[[Callable[[Any], Any]], View]:
    """Make a Chalice view of a function that takes one `Call`.

    The function returns anything that ``response`` can validate from, attributes included, or a `Reply` with such a
    body. It runs in one transaction, committed before the client hears of it; a deadlock runs it once more, so it must
    not act on anything but the session (``transactional=False`` is for those that do). Whatever it raises becomes a
    problem document. The first line of its docstring is the summary in the OpenAPI document, the rest the description.

    Args:
        response: schema of a successful answer; None if it is empty, or text of ``media_type``.
        path, query, body: models of the request's parts. Without a model no parameter is accepted, and the body is
            not read. Unknown fields are refused.
        errors: what it may raise beyond what every route may: see `chalicelib.api.openapi`.
        content_types: media types that the body may have. A route that reads ``call.raw_body`` itself names its own.
        anonymous: answer everyone, identified or not.
        transactional: open a session.
        also: other statuses of a successful answer.
        raw_body, headers: describe, in the OpenAPI document alone, a body that the function reads from ``call.raw_body``,
            and headers that it reads from ``call.exchange``.
    """

    def decorate(function: Callable[[Any], Any]) -> View:
        spec = Endpoint(
            function=function,
            response=response,
            status=status,
            path=path,
            query=query,
            body=body,
            errors=errors,
            content_types=content_types,
            anonymous=anonymous,
            transactional=transactional,
            media_type=media_type,
            also=also,
            raw_body=raw_body,
            headers=headers,
        )

        @wraps(function)
        def view(**path_values: str) -> Response:
            return answer(current_exchange(), lambda exchange: _succeed(spec, exchange, path_values))

        view.endpoint = spec  # type: ignore[attr-defined]
        return view

    return decorate


def answer(exchange: Exchange, work: Callable[[Exchange], Response]) -> Response:
    """What ``work`` answers, or the problem it ran into, with the headers and the log line that every answer has."""
    try:
        response = work(exchange)
    except Exception as error:  # noqa: BLE001 - the outermost edge: Chalice would answer in a shape of its own
        response = problems.response_to(error, exchange)
    if exchange.method == "HEAD":
        response.body = ""
    response.headers = {"X-Request-Id": exchange.request_id, **_ALWAYS, **response.headers}
    telemetry.log(
        "info",
        "request",
        method=exchange.method,
        route=exchange.route,
        status=response.status_code,
        ms=exchange.milliseconds,
        request_id=exchange.request_id,
        user_id=exchange.principal and exchange.principal.user_id,
    )
    return response


def _succeed(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> Response:
    if not spec.transactional:
        return _without_transaction(spec, exchange, path_values)
    try:
        return _in_transaction(spec, exchange, path_values)
    except Contention:
        # The other one has won and gone on: the second try rarely meets it again.
        return _in_transaction(spec, exchange, path_values)


def _in_transaction(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> Response:
    with meaningful_refusals(), runtime.transaction() as session:
        _identify(spec, exchange, session)
        return _perform(spec, exchange, path_values, session)


def _without_transaction(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> Response:
    if not spec.anonymous:
        # A session takes a connection at its first query only: for the demo user, never.
        with meaningful_refusals(), runtime.transaction() as session:
            _identify(spec, exchange, session)
    with meaningful_refusals():
        return _perform(spec, exchange, path_values, None)


def _identify(spec: Endpoint, exchange: Exchange, session: Session) -> None:
    if not spec.anonymous:
        exchange.principal = identify(exchange.headers, runtime.settings(), session)


def _perform(spec: Endpoint, exchange: Exchange, path_values: dict[str, str], session: Session | None) -> Response:
    result = spec.function(_call(spec, exchange, path_values, session))
    reply = result if isinstance(result, Reply) else Reply(result, spec.status)
    headers: dict[str, str | list[str]] = {} if reply.body is None else {"Content-Type": spec.media_type}
    headers |= reply.headers
    return Response(spec.serialise(reply.body, reply.is_ready), headers, reply.status)


def _call(spec: Endpoint, exchange: Exchange, path_values: dict[str, str], session: Session | None) -> Call:
    path = reading.read_path(spec.path, path_values)
    query = reading.read_query(spec.query, exchange.query_values)
    if spec.reads_body:
        reading.require_media_type(exchange.content_type, spec.content_types, bool(exchange.raw_body))
    return Call(
        session=cast(Session, session),
        principal=cast(Principal, exchange.principal),
        settings=runtime.settings(),
        now=runtime.now(),
        request_id=exchange.request_id,
        path=path,
        query=query,
        body=reading.read_body(spec.body, exchange.raw_body) if spec.body else None,
        raw_body=exchange.raw_body,
        content_type=exchange.content_type,
        base_url=exchange.base_url,
        url_path=exchange.url_path,
        exchange=exchange,
    )
