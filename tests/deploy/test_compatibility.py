"""The previous release's code at work on the newest schema, as happens during each deployment and after going back."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from chalicelib.db.engine import create_catalog_engine
from chalicelib.services.upkeep.schema import migrate
from deploy.template import PROJECT
from tests.support.notifications import body, s3_record, sqs_event

# The code of each release as it was packaged; a release adds its own.
RELEASES = sorted((PROJECT / "tests" / "fixtures" / "releases").glob("*.zip"))

# Runs in the old code: records an event, then works with the file through every route that asks only the database.
_OLD_CODE = """
import contextlib, io, json, sys
from types import SimpleNamespace
event = json.load(sys.stdin)
with contextlib.redirect_stdout(io.StringIO()):
    from app import app, ingest
    context = SimpleNamespace(aws_request_id="r")

    def call(method, resource, body=None, **path):
        answer = app({
            "resource": resource, "path": resource.format(**path), "httpMethod": method, "headers": {
                "Host": "h", "Content-Type": "application/json"}, "multiValueQueryStringParameters": None,
            "pathParameters": path or None, "stageVariables": None, "isBase64Encoded": False,
            "body": None if body is None else json.dumps(body),
            "requestContext": {"resourcePath": resource, "httpMethod": method, "path": resource, "stage": "v1"},
        }, context)
        text = answer["body"]
        return [answer["statusCode"], json.loads(text) if text else None]

    found = {"ingest": ingest(event, context), "again": ingest(event, context)}
    found["session"] = call("POST", "/api/sessions", {"session_id": "s"})
    found["list"] = call("GET", "/api/files")
    file_id = found["list"][1]["items"][0]["id"]
    found["patch"] = call("PATCH", "/api/files/{file_id}", {"name": "new", "session_id": "s", "tags": ["t"]}, file_id=file_id)
    found["versions"] = call("GET", "/api/files/{file_id}/versions", file_id=file_id)
    found["events"] = call("GET", "/api/files/{file_id}/events", file_id=file_id)
    found["user"] = call("POST", "/api/users", {"name": "Ada"})
    found["announce"] = call("POST", "/api/files", {"name": "later.txt"})
json.dump(found, sys.stdout)
"""


def _run(release: Path, folder: Path, database_url: str, event: dict[str, Any]) -> dict[str, Any]:
    with zipfile.ZipFile(release) as code:
        code.extractall(folder)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(folder), str(PROJECT / "vendor")]),
        "LANDFALL_DATABASE_URL": database_url,
        "LANDFALL_INSPECTION": "schedule",
    }
    command = [sys.executable, "-c", _OLD_CODE]
    result = subprocess.run(
        command, cwd=folder, env=environment, input=json.dumps(event), capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_the_previous_releases_code_works_on_the_newest_schema(empty_database_url: str, tmp_path: Path) -> None:
    engine = create_catalog_engine(empty_database_url)
    migrate(engine, with_demo_user=True)
    engine.dispose()
    event = sqs_event(body(s3_record("ObjectCreated:Put", "a/b.txt", bucket="landfall-local", version_id="v1", size=3)))

    found = _run(RELEASES[-1], tmp_path, empty_database_url, event)
    assert found["ingest"] == found["again"] == {"batchItemFailures": []}

    statuses = {name: answer[0] for name, answer in found.items() if isinstance(answer, list)}
    assert statuses == {
        "session": 201, "list": 200, "patch": 200, "versions": 200, "events": 200, "user": 201, "announce": 201,
    }  # fmt: skip
    assert (found["patch"][1]["name"], found["patch"][1]["session_id"]) == ("new", "s")
    assert [item["version_id"] for item in found["versions"][1]["items"]] == ["v1"]
    assert len(found["events"][1]["items"]) == 1
