"""Uploads straight to S3, with nobody but S3's own event to say that they have come; also behind the API Gateway."""

from urllib.parse import quote, urlencode

import urllib3

from tests.support.stacks import Stack
from tests.support.waiting import eventually

MIB = 1024 * 1024


def test_an_upload_is_stored_by_its_event_alone_and_found_by_a_waiting_request(stack: Stack) -> None:
    wanted = {"name": "Übersicht 1.txt", "size": 5, "media_type": "text/plain", "tags": ["e2e"]}
    file = stack.post("/api/files", wanted, 201)

    sent = urllib3.request("PUT", file["plan"]["url"], body=b"hello", headers=file["plan"]["headers"])
    assert sent.status == 200, sent.data

    stored = stack.get(f"/api/files/{file['id']}?wait=20")
    assert (stored["state"], stored["size"], stored["name"], stored["tags"]) == (
        "stored",
        5,
        "Übersicht 1.txt",
        ["e2e"],
    )

    (waited,) = stack.get("/api/files?" + urlencode({"key": file["key"], "wait": 20}))["items"]
    assert waited["id"] == file["id"]
    assert eventually(lambda: bool(stack.get("/api/files?" + urlencode({"q": "ubersicht", "tag": "e2e"}))["items"]))


def test_uppys_companion_routes_work_end_to_end(stack: Stack) -> None:
    upload = stack.post("/s3/multipart", {"filename": "film.mp4", "type": "video/mp4", "metadata": {"camera": "x"}})
    path = f"/s3/multipart/{quote(upload['uploadId'], safe='')}"
    key = urlencode({"key": upload["key"]})
    parts = []
    for number, data in enumerate([bytes(5 * MIB), b"the end"], 1):
        url = stack.get(f"{path}/{number}?{key}")["url"]
        sent = urllib3.request("PUT", url, body=data)
        assert sent.status == 200, sent.data
        parts.append({"PartNumber": number, "ETag": sent.headers["ETag"]})

    assert [part["Size"] for part in stack.get(f"{path}?{key}")] == [5 * MIB, 7]

    done = stack.post(f"{path}/complete?{key}", {"parts": parts})
    stored = stack.get(f"/api/files/{done['id']}")
    assert (stored["state"], stored["size"], stored["metadata"]) == ("stored", 5 * MIB + 7, {"camera": "x"})
    assert eventually(lambda: len(stack.get(f"/api/files/{done['id']}/events")["items"]) == 1)
    assert len(stack.get(f"/api/files/{done['id']}/versions")["items"]) == 1


def test_a_file_is_moved_deleted_and_restored_and_its_events_agree(stack: Stack) -> None:
    file = stack.post("/api/files", {"name": "a.txt", "size": 5}, 201)
    urllib3.request("PUT", file["plan"]["url"], body=b"hello", headers=file["plan"]["headers"])

    assert stack.get(f"/api/files/{file['id']}?wait=20")["state"] == "stored"

    path, key = f"/api/files/{file['id']}", f"moved/{file['id']}.txt"
    assert stack.act(path, "move", {"key": key})["key"] == key
    assert stack.request("DELETE", path).status == 204

    restored = stack.act(path, "restore", {})
    assert (restored["state"], restored["key"], restored["size"]) == ("stored", key, 5)

    def events() -> list[str]:
        return [event["change"] for event in stack.get(f"{path}/events")["items"]]

    # Of the old key: put. Of the new one: put (the copy), marker, removal of the marker.
    assert eventually(lambda: sorted(events())[-3:] == ["put", "put", "removal"] and "marker" in events())

    after = stack.get(path)
    assert (after["state"], after["key"], after["version_id"]) == ("stored", key, restored["version_id"])
    assert stack.s3.get_object(Bucket=stack.bucket, Key=key)["Body"].read() == b"hello"

    left = "/api/files?" + urlencode({"key": file["key"], "state": "any"})
    assert eventually(lambda: [item["state"] for item in stack.get(left)["items"]] == ["deleted"])
