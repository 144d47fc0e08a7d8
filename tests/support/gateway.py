"""The Lambda handler, called in this process with what API Gateway sends."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# As `chalice local` and the Lambda layer do.
sys.path.append(str(Path(__file__).parents[2] / "vendor"))

from app import app


def event(method: str, resource: str, **parts: Any) -> dict[str, Any]:
    """A REST API's proxy event, payload version 1, behind the stage ``v1``."""
    path = resource.format(**(parts.get("pathParameters") or {}))
    return {
        "resource": resource,
        "path": path,
        "httpMethod": method,
        "headers": {"Host": "abc.execute-api.eu-west-1.amazonaws.com", "X-Forwarded-Proto": "https"},
        "multiValueQueryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
        "requestContext": {
            "resourcePath": resource,
            "httpMethod": method,
            "path": f"/v1{path}",
            "stage": "v1",
            "domainName": "abc.execute-api.eu-west-1.amazonaws.com",
            "requestId": "gateway-request",
        },
        **parts,
    }


def send(method: str, resource: str, **parts: Any) -> dict[str, Any]:
    return app(event(method, resource, **parts), SimpleNamespace(aws_request_id="lambda-request"))
