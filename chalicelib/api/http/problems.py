"""Problem details (RFC 9457), the one shape of every error, and the one table from meaning to status."""

import json
from dataclasses import dataclass
from typing import Any

from chalice.app import Response

from chalicelib import errors, telemetry
from chalicelib.api.http.exchange import Exchange

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem. ``name`` ends its type URI, and never changes."""

    status: int
    name: str
    title: str

    @property
    def type(self) -> str:
        """The URI that identifies this kind."""
        return f"/problems/{self.name}"


INTERNAL = Kind(500, "internal-error", "Something went wrong on our side")

# An error without an entry takes that of its nearest ancestor. Without any, it is our fault: 500.
KINDS: dict[type[Exception], Kind] = {
    errors.InvalidInput: Kind(400, "invalid-input", "The request has wrong fields"),
    errors.InvalidCursor: Kind(400, "invalid-cursor", "The cursor is not usable"),
    errors.MalformedBody: Kind(400, "malformed-body", "The body cannot be read"),
    errors.TooBroad: Kind(400, "too-broad", "Finding this takes too long"),
    errors.Unauthenticated: Kind(401, "unauthenticated", "Nobody is known by this identity"),
    errors.Forbidden: Kind(403, "forbidden", "This caller may not do this"),
    errors.AccountDisabled: Kind(403, "account-disabled", "This account is disabled"),
    errors.AgainstPolicy: Kind(403, "against-policy", "A policy does not allow this file"),
    errors.OverQuota: Kind(403, "over-quota", "A quota would be exceeded"),
    errors.NotFound: Kind(404, "not-found", "There is no such thing"),
    errors.MethodNotAllowed: Kind(405, "method-not-allowed", "The path does not take this method"),
    errors.Conflict: Kind(409, "conflict", "The state of things forbids it now"),
    errors.NotArrived: Kind(409, "not-arrived", "The bytes have not arrived"),
    errors.Locked: Kind(409, "locked", "S3 keeps it for now"),
    errors.PreconditionFailed: Kind(412, "precondition-failed", "It was changed meanwhile"),
    errors.TooLarge: Kind(413, "too-large", "The body is too large"),
    errors.UnsupportedMediaType: Kind(415, "unsupported-media-type", "The body is of a type not read here"),
    errors.Unprocessable: Kind(422, "unprocessable", "It refers to something that is not there"),
    errors.TooManyRequests: Kind(429, "too-many-requests", "This caller asks too often"),
    errors.TooManyJobs: Kind(429, "too-many-jobs", "This caller has too many jobs"),
    errors.HeadersTooLarge: Kind(431, "headers-too-large", "The headers are too large"),
    errors.Unavailable: Kind(503, "unavailable", "Something needed does not answer"),
}

_OPAQUE = "The request id finds the reason in the log."
_RETRY_SECONDS = "5"


def kind_of(error_type: type[BaseException]) -> Kind:
    """The kind of problem that an error of this type is."""
    return next((KINDS[ancestor] for ancestor in error_type.__mro__ if ancestor in KINDS), INTERNAL)


def response_to(error: Exception, exchange: Exchange) -> Response:
    """The answer to a request that ended in ``error``. If it is our fault, only the log says what it was."""
    kind = kind_of(type(error))
    if kind.status >= 500:
        telemetry.log("error", "request failed", error=error, request_id=exchange.request_id, route=exchange.route)
    if isinstance(error, errors.Unauthenticated | errors.MissingScope | errors.AccountDisabled):
        why, key_id, user_id = error.reason, error.key_id, getattr(error, "user_id", None)
        telemetry.log(
            "info", "caller refused", reason=why, key_id=key_id, user_id=user_id, request_id=exchange.request_id
        )
    fields = [_field(problem) for problem in getattr(error, "problems", ())]
    detail = _OPAQUE if kind is INTERNAL else str(error)
    body = document(kind, detail, exchange.url_path, exchange.request_id, fields)
    if exchange.route.startswith("/s3/"):
        body["message"] = detail  # what Uppy 5 shows to its user
    return Response(json.dumps(body), {"Content-Type": MEDIA_TYPE, **_headers(error)}, kind.status)


def document(
    kind: Kind, detail: str, instance: str, request_id: str, fields: list[dict[str, str]] | None = None
) -> dict[str, Any]:
    """A problem document, ready for JSON."""
    return {
        "type": kind.type,
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": instance,
        "request_id": request_id,
        "errors": fields or [],
    }


def _field(problem: errors.FieldProblem) -> dict[str, str]:
    return {"where": problem.where, "field": problem.field, "message": problem.message}


def _headers(error: Exception) -> dict[str, str]:
    if isinstance(error, errors.MethodNotAllowed):
        return {"Allow": ", ".join(error.allowed)}
    if isinstance(error, errors.TooManyRequests):
        return {"Retry-After": str(error.retry_seconds)}
    if isinstance(error, errors.Unavailable):
        return {"Retry-After": _RETRY_SECONDS}
    if isinstance(error, errors.Unauthenticated):
        return {"WWW-Authenticate": "Bearer"}
    return {}
