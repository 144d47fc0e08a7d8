"""A selection of files as one zip."""

import io
import zipfile
from uuid import uuid4

from sqlalchemy import text

from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import act, read, upload
from tests.support.users import limit


def test_a_selection_is_zipped_into_a_file_of_the_caller(owner: Api) -> None:
    files = [upload(owner, b"one", "a.txt"), upload(owner, b"two", "a.txt"), upload(owner, b"", "ü/leer")]

    answer = owner("POST", "/api/zips", {"file_ids": [file["id"] for file in files], "name": "all.zip"})
    assert answer.status == 202
    assert (answer.json["state"], answer.json["done"]) == ("done", 3)

    zipped = owner("GET", f"/api/files/{answer.json['result']['file_id']}").json
    assert (zipped["name"], zipped["state"], zipped["media_type"]) == ("all.zip", "stored", "application/zip")

    with zipfile.ZipFile(io.BytesIO(read(owner, zipped))) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a.txt": b"one", "a (2).txt": b"two", "ü_leer": b"",
        }  # fmt: skip

    unknown = {"file_ids": [files[0]["id"], str(uuid4())]}
    assert_problem(owner("POST", "/api/zips", unknown), 404, "not-found")


def test_names_in_a_zip_can_be_unpacked_on_any_system(owner: Api) -> None:
    names = [".", "..", "C:evil.exe", "A.txt", "a.txt", "con.log", "dots...", "..\\up", "aux"]
    files = [upload(owner, b"x", name) for name in ("plain",) * len(names)]
    for file, name in zip(files, names, strict=True):
        assert owner("PATCH", f"/api/files/{file['id']}", {"name": name}).status == 200

    job = owner("POST", "/api/zips", {"file_ids": [file["id"] for file in files]}).json
    with zipfile.ZipFile(io.BytesIO(read(owner, {"id": job["result"]["file_id"]}))) as archive:
        assert archive.namelist() == [
            "_", "_ (2)", "C_evil.exe", "A.txt", "a (2).txt", "_con.log", "dots", ".._up", "_aux",
        ]  # fmt: skip


def test_a_zip_without_room_fails_and_leaves_nothing(owner: Api, files_api: Api) -> None:
    file = upload(owner, b"hello")
    limit(files_api, owner, max_bytes=9)

    job = owner("POST", "/api/zips", {"file_ids": [file["id"]]}).json
    assert job["state"] == "failed"
    assert "no room for so many bytes" in job["problem"]
    assert [item["id"] for item in owner("GET", "/api/files?state=any").json["items"]] == [file["id"]]


def test_a_restored_zip_does_not_expire(owner: Api, clockwork: Clockwork) -> None:
    job = owner("POST", "/api/zips", {"file_ids": [upload(owner)["id"]]}).json
    zipped = {"id": job["result"]["file_id"]}
    owner("DELETE", f"/api/files/{zipped['id']}")
    act(owner, zipped, "restore")

    with clockwork.engine.connect() as connection:
        query = text("SELECT expires_at FROM files WHERE id = CAST(:id AS uuid)")
        assert connection.execute(query, zipped).scalar_one() is None
