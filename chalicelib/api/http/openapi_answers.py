"""What each route answers, as the OpenAPI document tells of it: successes, and every problem that it may run into."""

import inspect
from collections import defaultdict
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from chalicelib import errors
from chalicelib.api.http.endpoint import Endpoint
from chalicelib.api.http.preconditions import IF_MATCH, IF_NONE_MATCH
from chalicelib.api.http.problems import MEDIA_TYPE, kind_of
from chalicelib.api.http.problems import document as problem_document
from chalicelib.api.schemas.api_keys import ApiKeyOut
from chalicelib.api.schemas.common import Page, Problem
from chalicelib.api.schemas.files import FileOut
from chalicelib.api.schemas.jobs import JobOut
from chalicelib.api.schemas.sessions import SessionOut
from chalicelib.api.schemas.shares import ShareOut
from chalicelib.api.schemas.users import UserOut

Schema = dict[str, Any]

_REQUEST_ID = {"description": "Finds the request's log lines.", "schema": {"type": "string"}}
_HEADERS_OF_STATUS = {
    201: {"Location": {"description": "Where it is.", "schema": {"type": "string"}}},
    202: {"Location": {"description": "Where its job is.", "schema": {"type": "string"}}},
    302: {"Location": {"description": "Where to go.", "schema": {"type": "string"}}},
    405: {"Allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
    503: {"Retry-After": {"description": "Seconds.", "schema": {"type": "string"}}},
}
_RATE = {
    "RateLimit-Policy": {
        "description": "How many requests `q` are good for `w` seconds. Only where a deployment limits them.",
        "schema": {"type": "string", "examples": ['"default";q=200;w=10']},
    },
    "RateLimit": {
        "description": "How many requests `r` are left, and in how many seconds `t` all are back.",
        "schema": {"type": "string", "examples": ['"default";r=137;t=4']},
    },
}
_WAIT = {"X-Landfall-Wait": {"description": "`refused`: too many requests wait already.", "schema": {"type": "string"}}}
_ETAG = {"ETag": {"description": "Identifies this state of the file.", "schema": {"type": "string"}}}
# What to do next with what was answered: operation, its parameter, and where in the answer its value is.
_NEXT: Mapping[type[BaseModel], tuple[tuple[str, str, str], ...]] = {
    FileOut: tuple((name, "file_id", "/id") for name in ("get_file", "download_file", "patch_file", "delete_file")),
    SessionOut: tuple((name, "session_id", "/session_id") for name in ("get_session", "list_session_files")),
    UserOut: (("get_user", "user_id", "/id"),),
    ApiKeyOut: (("get_key", "key_id", "/id"), ("revoke_key", "key_id", "/id")),
    JobOut: (("get_job", "job_id", "/id"), ("cancel_job", "job_id", "/id")),
    ShareOut: (("revoke_share", "share_id", "/id"),),
}
_LINK = {"Link": {"description": 'The next page: `<...>; rel="next"`.', "schema": {"type": "string"}}}
_EXAMPLE_FIELDS: Mapping[type[errors.LandfallError], Schema] = {
    errors.InvalidInput: {"where": "query", "field": "colour", "message": "Unknown field."},
    errors.InvalidCursor: {"where": "query", "field": "cursor", "message": str(errors.InvalidCursor())},
}


def responses(path: str, endpoint: Endpoint, schemas: dict[Any, Schema]) -> Schema:
    """Every answer of a route, by its status."""
    responses = {str(status): _success(status, endpoint, schemas) for status in (endpoint.status, *endpoint.also)}
    by_status: dict[int, list[type[errors.LandfallError]]] = defaultdict(list)
    for error in _errors_of(endpoint):
        by_status[kind_of(error).status].append(error)
    problem = schemas[Problem, "serialization"]
    return responses | {str(s): _failure(s, path, found, problem) for s, found in sorted(by_status.items())}


def _errors_of(endpoint: Endpoint) -> list[type[errors.LandfallError]]:
    """What any route may answer, what this one's shape brings with it, and what it was declared to raise."""
    found: list[type[errors.LandfallError]] = [
        errors.InvalidInput,
        errors.MethodNotAllowed,
        errors.TooManyRequests,
        errors.HeadersTooLarge,
        errors.LandfallError,
    ]
    if endpoint.reads_body:
        found += [errors.UnsupportedMediaType, errors.MalformedBody, errors.TooLarge]
    if not endpoint.anonymous:
        found += [errors.Unauthenticated, errors.AccountDisabled, errors.MissingScope]
    if endpoint.in_one_transaction or not endpoint.anonymous:
        found.append(errors.Unavailable)
    return list({kind_of(error): error for error in (*found, *endpoint.errors)}.values())


def _success(status: int, endpoint: Endpoint, schemas: dict[Any, Schema]) -> Schema:
    headers: Schema = {"X-Request-Id": _REQUEST_ID} | _RATE | _HEADERS_OF_STATUS.get(status, {})
    if isinstance(endpoint.response, type) and issubclass(endpoint.response, Page):
        headers |= _LINK
    if 201 in (endpoint.status, *endpoint.also):
        headers |= _HEADERS_OF_STATUS[201]
    if status in (200, 304) and {header.name for header in endpoint.headers} & {IF_MATCH.name, IF_NONE_MATCH.name}:
        headers |= _ETAG
    if status == 202 or (endpoint.query is not None and "wait" in endpoint.query.model_fields):
        headers |= _WAIT
    answer: Schema = {"description": HTTPStatus(status).phrase, "headers": headers}
    if status < 300 and (links := _links(endpoint.response)):
        answer["links"] = links
    if endpoint.response is not None and status not in (204, 304):
        answer["content"] = {endpoint.media_type: {"schema": schemas[endpoint.response, "serialization"]}}
    elif status not in (204, 302, 304):
        answer["content"] = {endpoint.media_type: {}}
    return answer


def _links(response: Any) -> Schema:
    found = next(
        (links for model, links in _NEXT.items() if isinstance(response, type) and issubclass(response, model)), ()
    )
    return {
        name: {"operationId": name, "parameters": {parameter: f"$response.body#{where}"}}
        for name, parameter, where in found
    }


def _failure(status: int, path: str, found: list[type[errors.LandfallError]], problem: Schema) -> Schema:
    return {
        "description": "; ".join(kind_of(error).title for error in found),
        "headers": {"X-Request-Id": _REQUEST_ID} | _RATE | _HEADERS_OF_STATUS.get(status, {}),
        "content": {
            MEDIA_TYPE: {
                "schema": problem,
                "examples": {kind_of(error).name: {"value": _example(error, path)} for error in found},
            }
        },
    }


def _example(error: type[errors.LandfallError], path: str) -> Schema:
    kind = kind_of(error)
    detail = (inspect.getdoc(error) or kind.title).partition("\n")[0]
    if kind.status == 500:
        detail = "The request id finds the reason in the log."
    fields = [_EXAMPLE_FIELDS[error]] if error in _EXAMPLE_FIELDS else []
    return problem_document(kind, detail, path, "7b0f7a3e-2d6f-4f5e-9d1c-0b8f1f2a3c4d", fields)
