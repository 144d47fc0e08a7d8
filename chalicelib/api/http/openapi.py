"""The OpenAPI 3.1 document, derived from the registered routes and their schemas: no second source to forget."""

import inspect
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, get_origin

from pydantic import BaseModel, TypeAdapter

from chalicelib.api.http.endpoint import Endpoint
from chalicelib.api.http.openapi_answers import Schema, responses
from chalicelib.api.http.problems import INTERNAL, KINDS
from chalicelib.api.http.views import Route
from chalicelib.api.schemas.common import Problem
from chalicelib.services.accounts.principals import USER_HEADER

# (path, method, endpoint) of a route.
Operation = tuple[str, str, Endpoint]

_VERSION = "0.1.0"
_REF = "#/components/schemas/{model}"
_ABOUT = {
    "users": "Who owns files.",
    "keys": "What machines call with: API keys, and credentials of S3.",
    "sessions": "Groups of uploads, under ids that clients choose.",
    "files": "The catalogue: what is in the buckets.",
    "uploads": "Sending files: straight to S3, or small ones through the API.",
    "management": "Copy, move, restore; many files at once; folders, trash, zips, and the jobs behind them.",
    "shares": "Links for people without an account.",
    "companion": "Sending files with Uppy: its Companion's routes, and the one that `signRequest` calls.",
    "trail": "Who did what to which file.",
    "audits": "Whether the catalogue is what the buckets hold, and putting it right.",
    "identity": "How to sign in.",
    "health": "Whether it works.",
    "docs": "This document.",
}
# Generators of clients name classes after tags, so these stay as they are.
_TAG_OF = dict.fromkeys(("file_jobs", "bulk", "folders", "trash", "zips", "jobs"), "management") | {
    "uppy": "companion",
    "barred_identities": "users",
    "api_keys": "keys",
    "credentials": "keys",
}
_INTRODUCTION = """Lists answer `{"items": [...], "next_cursor": ...}`; pass `next_cursor` as `cursor`, or follow the
`Link` header, for the next page. Errors are problem details (RFC 9457): `detail` says what went wrong, `errors` names
the wrong fields, and `request_id` finds the log lines. A file uploaded through the API can be read at once; an object
put into the bucket appears about a second later. Soon after, inspection may refine `media_type`, and S3's own event may
refine `stored_at`."""


def document(routes: Iterable[Route], has_demo_users: bool = True) -> Schema:
    """The document of these routes, without servers: those depend on how the client got here.

    ``has_demo_users``: whether a header may say who calls.
    """
    made = _document(routes)
    if not has_demo_users:
        _drop_demo_users(made)
    return made


def _document(routes: Iterable[Route]) -> Schema:
    operations = list(_operations(routes))
    schemas, components = _schemas(operations)
    names = _operation_ids(operations)
    paths: dict[str, Schema] = defaultdict(dict)
    for path, method, endpoint in operations:
        operation = _operation(path, endpoint, schemas, components)
        paths[path][method.lower()] = {"operationId": names[path, method]} | operation
    tags = dict.fromkeys(_tag(endpoint) for _, _, endpoint in operations)
    for model in {m for _, _, endpoint in operations for m in (endpoint.path, endpoint.query) if m}:
        components.pop(model.__name__, None)
    for model in {m for _, _, endpoint in operations if (m := endpoint.raw_body)}:
        _make_form(components[model.__name__])
    for schema in components.values():
        _drop_defaults(schema)
    components["Problem"]["properties"]["type"] |= _kinds_of_problems()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Landfall",
            "version": _VERSION,
            "summary": "Files that land in object storage, known at once and never wrongly.",
            "description": _INTRODUCTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": tag, "description": _ABOUT.get(tag, tag)} for tag in tags],
        "paths": paths,
        "components": {
            "schemas": components,
            "parameters": {_USER: _user_parameter()},
            "securitySchemes": {"token": _TOKEN, "user": _user_scheme()},
        },
    }


def _drop_demo_users(made: Schema) -> None:
    del made["components"]["parameters"], made["components"]["securitySchemes"]["user"]
    for operation in chain.from_iterable(path.values() for path in made["paths"].values()):
        operation["parameters"] = [one for one in operation["parameters"] if "$ref" not in one]
        operation["security"] = [{"token": []}] if operation["security"] else []


def _operations(routes: Iterable[Route]) -> Iterator[Operation]:
    """All operations, those of one path together."""
    paths: dict[str, list[Route]] = defaultdict(list)
    for route in routes:
        paths[route.path].append(route)
    for route in chain.from_iterable(paths.values()):
        yield route.path, route.method, route.view.endpoint


def _operation_ids(operations: list[Operation]) -> dict[tuple[str, str], str]:
    """The id of each operation: its function's name. If a function serves two paths, the second id gets a number."""
    names: dict[tuple[str, str], str] = {}
    for path, method, endpoint in sorted(operations, key=lambda operation: -len(operation[0])):
        name, number = endpoint.function.__name__, 2
        while (unique := name if number == 2 else f"{name}_{number - 1}") in names.values():
            number += 1
        names[path, method] = unique
    return names


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Schema], dict[str, Schema]]:
    """The schema of every model in use, in a call or an answer, and the components they refer to."""
    inputs: dict[Any, tuple[Any, Any, TypeAdapter[Any]]] = {
        (Problem, "serialization"): (Problem, "serialization", TypeAdapter(Problem))
    }
    for _, _, endpoint in operations:
        for model in (endpoint.path, endpoint.query, endpoint.body, endpoint.raw_body):
            if model is not None:
                inputs[model, "validation"] = (model, "validation", TypeAdapter(model))
        if endpoint.response is not None:
            inputs[endpoint.response, "serialization"] = (endpoint.response, "serialization", endpoint.adapter)
    schemas, shared = TypeAdapter.json_schemas(inputs.values(), ref_template=_REF)
    return dict(schemas), shared.get("$defs", {})


def _operation(path: str, endpoint: Endpoint, schemas: dict[Any, Schema], components: dict[str, Schema]) -> Schema:
    summary, _, description = (inspect.getdoc(endpoint.function) or "").partition("\n")
    operation: Schema = {
        "tags": [_tag(endpoint)],
        "summary": summary.rstrip("."),
        "description": _unwrapped(description.strip()),
        "parameters": [
            *_parameters("path", endpoint.path, schemas, components),
            *_parameters("query", endpoint.query, schemas, components),
            *(_header_parameter(header.name, header.description) for header in endpoint.headers),
            *([] if endpoint.anonymous else [{"$ref": f"#/components/parameters/{_USER}"}]),
        ],
        "responses": responses(path, endpoint, schemas),
        "security": [] if endpoint.anonymous else [{"token": []}, {"user": []}, {}],
    }
    if endpoint.reads_body:
        operation["requestBody"] = _request_body(endpoint, schemas)
    return operation


def _tag(endpoint: Endpoint) -> str:
    module = endpoint.function.__module__.rpartition(".")[2]
    return _TAG_OF.get(module, module)


def _unwrapped(text: str) -> str:
    """``text`` with one line for each paragraph: some viewers of Markdown keep the line breaks of the source."""
    return re.sub(r"(?<!\n)\n(?![\n\-*])", " ", text)


def _parameters(
    where: str, model: type[BaseModel] | None, schemas: dict[Any, Schema], components: dict[str, Schema]
) -> Iterator[Schema]:
    if model is None:
        return
    schema = schemas[model, "validation"]
    schema = components[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
    for name, value in schema.get("properties", {}).items():
        described = _without_null({key: part for key, part in value.items() if key != "description"})
        parameter = {"name": name, "in": where, "required": name in schema.get("required", []), "schema": described}
        if described.get("type") == "object":
            parameter |= {"style": "deepObject", "explode": True}
        yield parameter | ({"description": value["description"]} if "description" in value else {})


def _header_parameter(name: str, description: str) -> Schema:
    return {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}


def _without_null(schema: Schema) -> Schema:
    """``schema`` without null: a parameter or a field of a form may be left out, but it can't be null."""
    choices: list[Schema] = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    rest = {key: part for key, part in schema.items() if key != "anyOf" and not (key == "default" and part is None)}
    if len(choices) == 1:
        return choices[0] | rest
    return rest | ({"anyOf": choices} if choices else {})


def _make_form(schema: Schema) -> None:
    schema["properties"] = {name: _without_null(value) for name, value in schema["properties"].items()}


def _drop_defaults(schema: Schema) -> None:
    """Move the defaults of a body's fields into their descriptions.

    Generators of clients take a field with a default for one that is always there. A client that changes only a file's
    tags would then also have to say `"session_id": null`, which means something.
    """
    for name, field in schema.get("properties", {}).items():
        default = field.pop("default", None)
        if default not in (None, [], {}) and name not in schema.get("required", ()):
            told = f"Left out: `{json.dumps(default)}`."
            field["description"] = f"{field['description']} {told}" if "description" in field else told


def _kinds_of_problems() -> Schema:
    """The values of a problem's type, and names for them: generators of clients would make up names otherwise."""
    names = sorted(kind.name for kind in (*KINDS.values(), INTERNAL))
    return {
        "enum": [f"/problems/{name}" for name in names],
        "x-enum-varnames": [name.replace("-", "_").upper() for name in names],
    }


def _request_body(endpoint: Endpoint, schemas: dict[Any, Schema]) -> Schema:
    model = endpoint.body or endpoint.raw_body
    media: Schema = {"schema": schemas[model, "validation"]} if model else {}
    if endpoint.raw_body is not None:
        # Each value of a list is a part. Otherwise Swagger UI sends a list as one part, and an empty list as an empty
        # part.
        lists = [name for name, field in endpoint.raw_body.model_fields.items() if get_origin(field.annotation) is list]
        media["encoding"] = {name: {"style": "form", "explode": True} for name in lists if name != "file"}
    return {"required": True, "content": dict.fromkeys(endpoint.content_types, media)}


_TOKEN: Schema = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the deployment's identity provider (OpenID Connect), or an API key (`lf_…`).",
}
_USER = "LocalUser"
_USER_DESCRIPTION = "The id of the user to act as, in the `local` stage only. Left out: the demo operator."


def _user_parameter() -> Schema:
    return _header_parameter(USER_HEADER, _USER_DESCRIPTION)


def _user_scheme() -> Schema:
    return {"type": "apiKey", "in": "header", "name": USER_HEADER, "description": _USER_DESCRIPTION}
