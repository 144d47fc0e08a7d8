"""The OpenAPI document is valid, complete, and says what the server does."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from chalicelib.api.http.problems import INTERNAL, KINDS
from tests.support.api import Api

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(api: Api) -> Document:
    answer = api("GET", "/openapi.json")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    return answer.json


def operations(document: Document) -> list[tuple[str, str, Document]]:
    return [(path, method, operation) for path, item in document["paths"].items() for method, operation in item.items()]


def test_the_document_is_valid_openapi_3_1(document: Document) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_the_documents_server_is_the_configured_one_whatever_a_header_says(api: Api, document: Document) -> None:
    assert document["servers"] == [{"url": f"http://127.0.0.1:{api.port}"}]

    odd = api("GET", "/openapi.json", Host="evil.example.org", X_Forwarded_Proto="https").json
    assert odd["servers"] == document["servers"]


def test_the_document_has_every_route_and_no_other(api: Api, document: Document) -> None:
    for path, method, _ in operations(document):
        answer = api(method.upper(), re.sub(r"\{\w+\}", "%20", path), body=b"", Content_Type="text/none")
        assert answer.status != 405, (method, path)

    for path, item in document["paths"].items():
        for method in {"get", "post", "put", "patch", "delete"} - set(item):
            assert api(method.upper(), re.sub(r"\{\w+\}", "%20", path)).status == 405, (method, path)


def test_the_alias_of_sessions_is_documented(document: Document) -> None:
    one, other = document["paths"]["/api/sessions"]["post"], document["paths"]["/api/session"]["post"]
    assert one["operationId"] != other["operationId"]
    assert {k: v for k, v in one.items() if k != "operationId" and k != "responses"} == {
        k: v for k, v in other.items() if k != "operationId" and k != "responses"
    }
    assert {"200", "201"} <= set(one["responses"])


def test_every_error_has_an_example_that_fits_the_schema(document: Document) -> None:
    schema = {"$ref": "#/components/schemas/Problem", "components": document["components"]}
    names = {kind.name for kind in KINDS.values()} | {"internal-error"}

    for path, _, operation in operations(document):
        failures = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        assert {"400", "405", "500"} <= set(failures)
        for status, answer in failures.items():
            examples = answer["content"]["application/problem+json"]["examples"]
            assert examples
            for name, example in examples.items():
                assert name in names
                Draft202012Validator(schema).validate(example["value"])
                assert example["value"]["status"] == int(status)
                assert example["value"]["instance"] == path


def test_every_operation_has_a_summary_and_declares_its_parameters(document: Document) -> None:
    tags = {tag["name"] for tag in document["tags"]}

    for path, method, operation in operations(document):
        assert operation["summary"], (path, method)
        assert set(operation["tags"]) <= tags
        assert method == "post" or ("requestBody" in operation) == (method in ("put", "patch")), (path, method)

        named = {p["name"] for p in operation["parameters"] if p.get("in") == "path"}
        assert named == set(re.findall(r"\{(\w+)\}", path))


def test_links_lead_to_operations_that_have_the_parameter(document: Document) -> None:
    parameters = {
        operation["operationId"]: {parameter.get("name") for parameter in operation["parameters"]}
        for _, _, operation in operations(document)
    }
    found = 0
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for link in answer.get("links", {}).values():
                assert set(link["parameters"]) <= parameters[link["operationId"]]
                found += 1

    assert found > 20


def test_operation_ids_are_unique(document: Document) -> None:
    identifiers = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(identifiers) == len(set(identifiers))


def test_no_field_of_a_body_has_a_default(document: Document) -> None:
    """Generators of clients take such a field for one that must be sent, and null may mean something."""
    for name, schema in document["components"]["schemas"].items():
        for field, said in schema.get("properties", {}).items():
            assert "default" not in said, (name, field)
    assert document["components"]["schemas"]["ZipCreate"]["properties"]["name"]["description"].endswith(
        'Left out: `"files.zip"`.'
    )


def test_no_parameter_and_no_field_of_a_form_can_be_null(document: Document) -> None:
    parameters = [
        p["schema"] for _, _, operation in operations(document) for p in operation["parameters"] if "name" in p
    ]
    assert len(parameters) > 100
    for schema in [*parameters, *document["components"]["schemas"]["UploadForm"]["properties"].values()]:
        assert "null" not in json.dumps(schema), schema


def test_examples_of_bodies_do_no_harm_when_sent_as_they_are(document: Document) -> None:
    schemas = document["components"]["schemas"]
    for name in ("FilePatch", "FileReplace", "FileCopy", "FileCreate", "UserPatch", "SessionPatch"):
        [example] = schemas[name]["examples"]
        assert "session_id" not in example
        Draft202012Validator(schemas[name] | {"components": document["components"]}).validate(example)


def test_headers_that_routes_read_are_declared(document: Document) -> None:
    def headers(path: str, method: str) -> set[str]:
        return {p["name"] for p in document["paths"][path][method]["parameters"] if p.get("in") == "header"}

    file = "/api/files/{file_id}"
    assert headers(file, "get") == {"If-None-Match"}
    assert headers(file, "put") == headers(file, "patch") == headers(file, "delete") == {"If-Match"}

    local_user = {"$ref": "#/components/parameters/LocalUser"}
    assert document["components"]["parameters"]["LocalUser"]["name"] == "X-Landfall-User"
    for path, method, operation in operations(document):
        assert (local_user in operation["parameters"]) == bool(operation["security"]), (path, method)


def test_the_types_of_problems_are_listed(document: Document) -> None:
    listed = document["components"]["schemas"]["Problem"]["properties"]["type"]
    assert set(listed["enum"]) == {f"/problems/{kind.name}" for kind in (*KINDS.values(), INTERNAL)}
    assert len(listed["enum"]) == len(listed["x-enum-varnames"])


def test_an_answer_without_a_body_has_no_schema(document: Document) -> None:
    for path, method, operation in operations(document):
        for status in {"204", "304"} & operation["responses"].keys():
            assert "content" not in operation["responses"][status], (path, method, status)


def test_answers_of_the_server_fit_the_schemas(api: Api, document: Document) -> None:
    def check(path: str, method: str, answer: Any) -> None:
        response = document["paths"][path][method]["responses"][str(answer.status)]
        (media,) = [value for name, value in response["content"].items() if name in answer.headers["Content-Type"]]
        Draft202012Validator(media["schema"] | {"components": document["components"]}).validate(answer.json)

    user = api("POST", "/api/users", {"name": "Schema"})
    check("/api/users", "post", user)
    check("/api/users/{user_id}", "get", api("GET", f"/api/users/{user.json['id']}"))
    check("/api/users", "get", api("GET", "/api/users?limit=1"))
    session = api("POST", "/api/sessions", {"metadata": {"a": 1}})
    check("/api/sessions", "post", session)
    check("/api/sessions", "get", api("GET", "/api/sessions?limit=1"))
    check("/api/sessions", "get", api("GET", "/api/sessions?limit=0"))
    check("/api/users/{user_id}", "get", api("GET", "/api/users/x"))
    check("/health", "get", api("GET", "/health"))


def test_no_choice_is_offered_twice(document: Document) -> None:
    """Generators of clients make an object of each, and a compiler refuses it."""

    def lists(part: Any) -> Iterator[list[Any]]:
        children = part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
        if isinstance(part, dict) and isinstance(part.get("enum"), list):
            yield part["enum"]
        for child in children:
            yield from lists(child)

    assert [choices for choices in lists(document) if len(choices) != len(set(choices))] == []
