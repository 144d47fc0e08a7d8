"""Inspection on request."""

from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.files import act, upload, versions


def test_a_file_whose_inspection_was_given_up_is_inspected_on_request(
    owner: Api, stranger: Api, engine: Engine
) -> None:
    file = upload(owner, b"GIF89a" + bytes(20), "a.gif")
    with engine.begin() as connection:
        give_up = (
            "UPDATE object_versions SET inspect_after = NULL, inspect_tries = 8, inspect_problem = 'S3 is down.'"
            " WHERE key = :key"
        )
        connection.execute(text(give_up), {"key": file["key"]})

    assert [version["inspection_problem"] for version in versions(owner, file)] == ["S3 is down."]

    assert_problem(stranger("POST", f"/api/files/{file['id']}/inspect"), 404, "not-found")
    assert act(owner, file, "inspect")["detected_media_type"] == "image/gif"
    assert [version["inspection_problem"] for version in versions(owner, file)] == [None]

    pending = owner("POST", "/api/files", {"name": "b"}).json
    assert_problem(owner("POST", f"/api/files/{pending['id']}/inspect"), 409, "conflict")
