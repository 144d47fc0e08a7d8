"""What one request says about itself, the same behind API Gateway and under ``chalice local``."""

from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from ipaddress import ip_address, ip_network
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from uuid import uuid4

from chalice.app import CaseInsensitiveMapping, Request

if TYPE_CHECKING:
    from chalicelib.catalog.rates import Standing
    from chalicelib.services.accounts.principals import Principal

# What a CDN in front says: that it is the one that is meant, and where its viewer is. `infra/site.yaml` has it do so.
CDN_HEADER, VIEWER_HEADER = "x-landfall-cdn", "x-landfall-viewer"


class Exchange:
    """A request being answered.

    Attributes:
        principal: None until the caller is identified.
        standing: where the caller stands with its rate; None until that is known, or if there is none.
        may_not_wait: too many requests wait already, so this one doesn't.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.started = perf_counter()
        self.principal: Principal | None = None
        self.standing: Standing | None = None
        self.may_not_wait = False
        self.request_id: str = _request_id(request)

    @property
    def method(self) -> str:
        """The HTTP method, upper case."""
        return str(self.request.method)

    @property
    def route(self) -> str:
        """The route's pattern: ``/api/users/{user_id}``."""
        return str(self.request.path)

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The request's headers, looked up without regard to case. Values of one that comes several times are joined by commas.

        API Gateway's ``headers`` have the last value alone, and Chalice looks no further (app.py, `Request.__init__`). If one
        of two tokens counted, this and what stands before it could take the caller for two different people.
        """
        repeated = self._event.get("multiValueHeaders") or {}
        joined = {name: ", ".join(values) for name, values in repeated.items()}
        return cast(Mapping[str, str], CaseInsensitiveMapping({**self.request.headers, **joined}))

    @property
    def address(self) -> str | None:
        """Where the request came from, as the gateway saw it. Anyone could send any header that says it.

        Only where a CDN is in front, and proves by a secret that the request came through it, its header counts: for the gateway
        all viewers share the CDN's addresses. Of IPv6 it is the network of 64 bits, since that is what a household has.
        """
        identity = self.request.context.get("identity") or {}
        address = identity.get("sourceIp") or None
        viewer = self.headers.get(VIEWER_HEADER)
        if viewer is not None and self._came_through_cdn:
            address = viewer
        return None if address is None else _network_of(address)

    @property
    def _came_through_cdn(self) -> bool:
        from chalicelib import runtime  # saves 250 ms of a start: SQLAlchemy and the models

        expected, secret = runtime.settings().cdn_secret_hash, self.headers.get(CDN_HEADER, "")
        return expected is not None and compare_digest(expected, sha256(secret.encode("utf-8", "replace")).hexdigest())

    @property
    def content_type(self) -> str:
        """The whole ``Content-Type`` header; empty if there is none."""
        return self.headers.get("content-type", "")

    @property
    def raw_body(self) -> bytes:
        """The body's bytes; empty if there is none."""
        return cast(bytes, self.request.raw_body)

    @property
    def query_values(self) -> dict[str, list[str]]:
        """Every query parameter with all of its values."""
        query = self.request.query_params
        return {} if query is None else {name: query.getlist(name) for name in query}

    @property
    def url_path(self) -> str:
        """The path below `base_url`, as sent: percent-encoded, without query."""
        context = self.request.context
        path = str(self._event.get("path") or context.get("path") or context["resourcePath"])
        # A request line may name a whole URL, with whatever host.
        return path if path.startswith("/") else urlsplit(path).path or "/"

    @property
    def base_url(self) -> str:
        """Where the API is, for links, without a last slash.

        `LANDFALL_PUBLIC_URL` says it or, behind API Gateway, the name that API Gateway was called by. The ``Host``
        header doesn't count, because anyone may send any.
        """
        from chalicelib import runtime  # saves 250 ms of a start: SQLAlchemy and the models

        if public := runtime.settings().public_url:
            return public.rstrip("/")
        seen = str(self.request.context.get("path", ""))
        domain = str(self.request.context.get("domainName", ""))
        return (f"https://{domain}" if domain else "") + seen.removesuffix(self.url_path).rstrip("/")

    @property
    def milliseconds(self) -> float:
        """Time since the request came in."""
        return round((perf_counter() - self.started) * 1000, 2)

    @property
    def _event(self) -> dict[str, Any]:
        return self.request.to_original_event()


def _network_of(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return address if parsed.version == 4 else str(ip_network((parsed, 64), strict=False))


def _request_id(request: Request) -> str:
    # ``chalice local`` gives no requestId, but a context that has one.
    return str(request.context.get("requestId") or getattr(request.lambda_context, "aws_request_id", None) or uuid4())
