"""`endpoint` and `stepwise_endpoint`: everything between a Chalice route and a service call, the same for all routes.

::

    @endpoint(path=UserPath, body=UserPatch, response=UserOut, errors=(NotFound, Conflict))
    def patch_user(call: Call[UserPath, None, UserPatch]) -> User:
        '''Change some fields of a user.'''
        return users.change_user(call.tx, call.path.user_id, call.body.changes())

There are two kinds. An `endpoint` runs in one transaction, which is committed before the client hears of it. It hands its
function a `Call` with that transaction. A deadlock runs it once more, so it must not act on anything but the transaction. A
`stepwise_endpoint` acts on the object store, too, or waits. It hands its function a `StepwiseCall` with a context, from which
services open transactions. A function of the one kind does not type-check under the decorator of the other.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, wraps
from typing import Any, Generic, Required

from chalice.app import Response
from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypedDict, TypeVar, Unpack

from chalicelib import runtime
from chalicelib.api.http import admission, membership, reading
from chalicelib.api.http.answering import answer
from chalicelib.api.http.exchange import Exchange
from chalicelib.api.http.workarounds import current_exchange
from chalicelib.catalog.acts import Cause
from chalicelib.catalog.roles import KeyScope, Right
from chalicelib.db.refusals import meaningful_refusals
from chalicelib.errors import Contention, LandfallError, NotFound
from chalicelib.services.accounts.principals import Principal
from chalicelib.services.accounts.rates import Counted
from chalicelib.services.context import Context, Transaction

PathT = TypeVar("PathT", default=Any)
QueryT = TypeVar("QueryT", default=Any)
BodyT = TypeVar("BodyT", default=Any)

View = Callable[..., Response]
JSON_TYPES = ("application/json",)
# What `Options.needs` is where the method alone doesn't say it.
ADMIN: tuple[KeyScope, ...] = ("admin",)
WRITE: tuple[KeyScope, ...] = ("write",)


@dataclass(frozen=True, slots=True)
class Request(Generic[PathT, QueryT, BodyT]):
    """One validated request. ``Request[UserPath, None, UserPatch]`` says which models its parts are of."""

    exchange: Exchange
    path: PathT
    query: QueryT
    body: BodyT

    @property
    def base_url(self) -> str:
        """Where the API is, for links: see `Exchange.base_url`."""
        return self.exchange.base_url


@dataclass(frozen=True, slots=True)
class Call(Request[PathT, QueryT, BodyT]):
    """A request that is answered in one transaction."""

    tx: Transaction


@dataclass(frozen=True, slots=True)
class StepwiseCall(Request[PathT, QueryT, BodyT]):
    """A request that is answered in steps, each with a transaction of its own or with none."""

    ctx: Context
    now: datetime


@dataclass(frozen=True, slots=True)
class RequestHeader:
    """A header that a route reads, as the OpenAPI document describes it."""

    name: str
    description: str


@dataclass(frozen=True, slots=True)
class JsonText:
    """A body that is JSON already, exactly in the response's shape. It is sent as it is.

    Postgres writes lists in this way, and the tests check every answer against its schema.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer with a status or headers of its own."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Options(TypedDict, total=False):
    """What a route says about itself.

    Attributes:
        response: schema of a successful answer; None if it is empty, or text of ``media_type``. The function returns
            what this schema can validate, by members or attributes, or a `Reply` with such a body. What the function
            raises becomes a problem document.
        status, also: the status of a successful answer, and others that it may have.
        path, query, body: models of the request's parts. Without a model no parameter is accepted, and the body is
            not read. Unknown fields are refused.
        errors: what it may raise beyond what every route may: see `chalicelib.api.http.openapi`.
        content_types: media types that the body may have. A route that reads ``call.exchange.raw_body`` names its own.
        anonymous: answer everyone, identified or not.
        counted: what an address's anonymous requests are counted with; None: not at all.
        needs: one of these scopes is needed of a caller with an API key. Left out: `read` for GET and HEAD, else `write`.
        right: what somebody must be allowed in a session of another user, to ask for it or for a file in it: see
            `chalicelib.api.http.membership`.
        raw_body, headers: a body and headers that the function itself reads from ``call.exchange``. They are described
            in the OpenAPI document, and used nowhere else.
    """

    response: Required[Any]
    status: int
    also: tuple[int, ...]
    path: type[BaseModel] | None
    query: type[BaseModel] | None
    body: type[BaseModel] | None
    errors: tuple[type[LandfallError], ...]
    content_types: tuple[str, ...]
    anonymous: bool
    counted: Counted | None
    needs: tuple[KeyScope, ...]
    right: Right
    media_type: str
    raw_body: type[BaseModel] | None
    headers: tuple[RequestHeader, ...]


@dataclass(frozen=True)
class Endpoint:
    """A route's `Options`, for the OpenAPI document, and how to serialise. The first line of the function's docstring is the
    summary in that document, the rest the description."""

    function: Callable[[Any], Any]
    in_one_transaction: bool
    response: Any
    status: int = 200
    also: tuple[int, ...] = ()
    path: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    errors: tuple[type[LandfallError], ...] = ()
    content_types: tuple[str, ...] = JSON_TYPES
    anonymous: bool = False
    counted: Counted | None = "asks"
    needs: tuple[KeyScope, ...] = ()
    right: Right = "owner"
    media_type: str = "application/json"
    raw_body: type[BaseModel] | None = None
    headers: tuple[RequestHeader, ...] = ()

    @property
    def reads_body(self) -> bool:
        """Whether a body is expected: its media type is checked even where the route itself parses it."""
        return self.body is not None or self.content_types != JSON_TYPES

    def needed_of(self, method: str) -> tuple[KeyScope, ...]:
        """The scopes of which an API key needs one, for a request with this HTTP method."""
        return self.needs or (("read",) if method in ("GET", "HEAD") else ("write",))

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        """The response's adapter, built at the first answer: building all of them at import would cost every cold start."""
        return TypeAdapter(self.response)

    def serialise(self, body: Any) -> str:
        """``body`` as text: by the response schema, or unchanged if it is text already."""
        if isinstance(body, JsonText):
            return body.text
        if self.response is None or body is None:
            return "" if body is None else str(body)
        value = self.adapter.validate_python(body, from_attributes=True)
        return self.adapter.dump_json(value).decode()


def endpoint(**options: Unpack[Options]) -> Callable[[Callable[[Call], Any]], View]:
    """Make a Chalice view of a function that takes one `Call`: see the module."""
    return lambda function: _view(Endpoint(function, True, **options), _in_one_transaction)


def stepwise_endpoint(**options: Unpack[Options]) -> Callable[[Callable[[StepwiseCall], Any]], View]:
    """Make a Chalice view of a function that takes one `StepwiseCall`: see the module."""
    return lambda function: _view(Endpoint(function, False, **options), _in_steps)


_Answering = Callable[[Endpoint, Exchange, dict[str, str]], Response]


def _view(spec: Endpoint, answering: _Answering) -> View:
    @wraps(spec.function)
    def view(**path_values: str) -> Response:
        exchange = current_exchange()
        response = answer(exchange, lambda exchange: answering(spec, exchange, path_values))
        if exchange.principal is not None:
            # The request's own transaction has ended, so this one needs no second connection, and blocks no other request.
            runtime.rates().add_up(exchange.principal.user_id)
        return response

    view.endpoint = spec  # type: ignore[attr-defined]
    return view


def _in_one_transaction(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> Response:
    def attempt(acting: Principal | None = None) -> Response:
        with meaningful_refusals(), runtime.transaction() as session:
            principal = acting or _identify(spec, exchange, lambda: nullcontext(session))
            parts = _read(spec, exchange, path_values)
            if acting is None:
                principal = membership.acting_in_named(session, principal, parts, spec.right)
            tx = Transaction(
                session,
                runtime.settings(),
                principal,
                runtime.now(),
                runtime.store,
                Cause("request", exchange.request_id),
            )
            return _respond(spec, Call(exchange, *parts, tx))

    def once_more_if_contended(acting: Principal | None) -> Response:
        try:
            return attempt(acting)
        except Contention:
            # The other transaction has won and gone on, so the second try rarely meets it again.
            return attempt(acting)

    return _as_member_too(spec, exchange, path_values, once_more_if_contended)


def _in_steps(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> Response:
    def attempt(acting: Principal | None) -> Response:
        with meaningful_refusals():
            principal = acting or _identify(spec, exchange, runtime.transaction)
            parts = _read(spec, exchange, path_values)
            if acting is None and membership.names_another(principal, parts):
                with runtime.transaction() as session:
                    principal = membership.acting_in_named(session, principal, parts, spec.right)
            ctx = runtime.context(principal, Cause("request", exchange.request_id))
            return _respond(spec, StepwiseCall(exchange, *parts, ctx, ctx.now))

    return _as_member_too(spec, exchange, path_values, attempt)


def _as_member_too(
    spec: Endpoint,
    exchange: Exchange,
    path_values: dict[str, str],
    attempt: Callable[[Principal | None], Response],
) -> Response:
    """Answer from what the caller owns. Where that has not what was asked for, look whether its file is shared with the caller.

    So a caller's own files never cost the look. The second attempt is a whole new one, in the scope of the session's owner.
    """
    try:
        return attempt(None)
    except NotFound:
        if exchange.principal is None:
            raise
        parts = _read(spec, exchange, path_values)
        with meaningful_refusals(), runtime.transaction() as session:
            acting = membership.acting_for_named(session, exchange.principal, parts, spec.right)
        if acting is None:
            raise
    return attempt(acting)


def _identify(spec: Endpoint, exchange: Exchange, begin: admission.Begin) -> Principal:
    if spec.anonymous:
        return admission.admit_anybody(exchange, spec.counted)
    return admission.admit(exchange, begin, spec.needed_of(exchange.method))


def _read(spec: Endpoint, exchange: Exchange, path_values: dict[str, str]) -> tuple[Any, Any, Any]:
    """The request's path, query and body, each as its model."""
    path = reading.read_path(spec.path, path_values)
    query = reading.read_query(spec.query, exchange.query_values)
    if spec.reads_body:
        reading.require_media_type(exchange.content_type, spec.content_types, bool(exchange.raw_body))
    return path, query, reading.read_body(spec.body, exchange.raw_body) if spec.body else None


def _respond(spec: Endpoint, call: Request) -> Response:
    result = spec.function(call)
    reply = result if isinstance(result, Reply) else Reply(result, spec.status)
    headers: dict[str, str | list[str]] = {} if reply.body is None else {"Content-Type": spec.media_type}
    headers |= reply.headers
    return Response(spec.serialise(reply.body), headers, reply.status)
