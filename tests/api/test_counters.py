"""No number that a member sees counts what others do."""

from uuid import UUID

from sqlalchemy import Engine, text

from tests.support.api import Api
from tests.support.files import upload
from tests.support.notifications import s3_record
from tests.support.recording import deliver


def test_an_etag_depends_on_the_file_alone(files_api: Api, owner: Api, engine: Engine) -> None:
    file = upload(owner)
    before = owner("GET", f"/api/files/{file['id']}").headers["ETag"]
    with engine.begin() as connection:  # another transaction writes the same row again
        connection.execute(text("UPDATE files SET name = name WHERE id = CAST(:id AS uuid)"), {"id": file["id"]})
    assert owner("GET", f"/api/files/{file['id']}").headers["ETag"] == before
    with engine.begin() as connection:
        connection.execute(text("UPDATE files SET is_mismatch = true WHERE id = CAST(:id AS uuid)"), {"id": file["id"]})
    assert owner("GET", f"/api/files/{file['id']}").headers["ETag"] != before


def test_the_id_of_an_event_is_its_own(files_api: Api, owner: Api, engine: Engine) -> None:
    file = upload(owner)
    versioned = {"bucket": "versioned", "version_id": file["version_id"], "size": 5}
    for number in (1, 2):
        deliver(engine, s3_record("ObjectCreated:Put", file["key"], sequencer=f"{number:04X}", **versioned))
    told = owner("GET", f"/api/files/{file['id']}/events").json["items"]
    ids = [UUID(event["id"]) for event in told]
    assert len(set(ids)) == len(ids) >= 2
    assert told == owner("GET", f"/api/files/{file['id']}/events").json["items"]
