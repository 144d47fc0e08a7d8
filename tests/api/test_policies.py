"""What users and sessions may upload, and what becomes of bytes that are refused after they have come."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import urllib3

from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import act, detail, find_by_key, key_of, read, versions
from tests.support.uploads import begin, complete, store
from tests.support.users import limit, new_member, used


def test_limits_of_user_and_session_refuse_announcements(files_api: Api) -> None:
    limits = {"max_file_bytes": 50, "media_types": ["image/*", "text/plain"]}
    api = new_member(files_api, "Limited", limits=limits)

    for fields in ({"size": 51, "media_type": "image/png"}, {"size": 5, "media_type": "text/html"}, {"size": 5}):
        assert_problem(api("POST", "/api/files", {"name": "x", **fields}), 403, "against-policy")

    picture = {"name": "x", "size": 50, "media_type": "image/png"}
    assert api("POST", "/api/files", picture).status == 201

    assert api("POST", "/api/sessions", {"session_id": "small", "limits": {"max_bytes": 60}}).status == 201
    assert api("POST", "/api/files", picture | {"session_id": "small"}).status == 201
    assert_problem(api("POST", "/api/files", picture | {"session_id": "small"}), 403, "over-quota")
    assert api("GET", "/api/sessions/small/usage").json["bytes"] == 50
    assert used(api)[1] == 100

    change = {"limits": {"max_bytes": 1}}
    assert_problem(api("PATCH", f"/api/users/{api.user_id}", change), 403, "forbidden")
    assert files_api("PATCH", f"/api/users/{api.user_id}", change).json["limits"]["max_bytes"] == 1
    assert_problem(api("POST", "/api/files", {"name": "x", "size": 0}), 403, "over-quota")


def test_asking_again_with_another_type_does_not_circumvent_the_policy(owner: Api, files_api: Api) -> None:
    limit(files_api, owner, media_types=["image/png"])

    first = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "image/png"})
    assert first.status == 200

    second = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "text/html"})
    assert_problem(second, 403, "against-policy")


def test_a_refused_file_is_withheld_from_its_owner_and_judged_again_after_a_restore(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    limit(files_api, owner, refuse_mismatch=True)
    data = b"%PDF-1.7 not a picture"
    file = store(owner, data, media_type="image/png")
    assert clockwork.judge() == [UUID(file["id"])]

    of_deleted, newest = (versions(owner, file)[place] for place in (1, 0))
    assert newest["is_delete_marker"]

    by_id, path = {"version_id": of_deleted["version_id"]}, f"/api/files/{file['id']}"
    for refused in (owner("POST", f"{path}/restore", {}), owner("POST", f"{path}/restore", by_id)):
        assert_problem(refused, 403, "against-policy")
    assert_problem(owner("GET", f"{path}/download?{urlencode(by_id)}"), 409, "conflict")
    assert read(files_api, file, **by_id) == data

    act(files_api, file, "restore")
    assert clockwork.judge() == [UUID(file["id"])]

    limit(files_api, owner, refuse_mismatch=False)
    act(files_api, file, "restore")
    assert clockwork.judge() == []
    assert read(owner, file, **by_id) == data


def test_a_refused_older_version_is_withheld_from_its_owner(
    owner: Api, files_api: Api, s3: Any, clockwork: Clockwork
) -> None:
    limit(files_api, owner, max_file_bytes=1000)
    file = begin(owner, size=1)
    s3.put_object(Bucket="versioned", Key=file["key"], Body=bytes(5000))
    refused = complete(owner, file)
    assert UUID(file["id"]) in clockwork.judge()

    s3.put_object(Bucket="versioned", Key=file["key"], Body=b"!")
    clockwork.deliver_current(file["key"])
    assert detail(owner, file)["state"] == "stored"

    answer = owner("GET", f"/api/files/{file['id']}/download?{urlencode({'version_id': refused['version_id']})}")
    assert_problem(answer, 403, "against-policy")


def test_bad_bytes_in_older_versions_and_at_old_keys_are_withheld_from_their_owner(
    owner: Api, files_api: Api, clockwork: Clockwork
) -> None:
    """Overwritten by good ones, or left at an old key, before anybody judged them."""
    limit(files_api, owner, refuse_mismatch=True)
    bad = b"%PDF-1.7 not a picture"

    overwritten = owner("POST", "/api/uploads/sign", {"method": "PUT", "key": "k", "contentType": "image/png"}).json
    for body in (bad, b"\x89PNG\r\n\x1a\n" + bytes(20)):
        urllib3.request("PUT", overwritten["url"], body=body, headers=overwritten["headers"])
        clockwork.deliver_current(overwritten["key"])
    moved = store(owner, bad, media_type="image/png")
    act(owner, moved, "move", {"key": key_of(owner, "b.png")})
    clockwork.judge()

    file = find_by_key(owner, overwritten["key"])
    older = versions(owner, file)[1]["version_id"]
    refused = owner("GET", f"/api/files/{file['id']}/download?{urlencode({'version_id': older})}")
    assert_problem(refused, 403, "against-policy")
    assert_problem(owner("POST", f"/api/files/{file['id']}/restore", {"version_id": older}), 403, "against-policy")
    assert_problem(
        owner("POST", f"/api/files/{moved['id']}/restore", {"version_id": moved["version_id"]}), 403, "against-policy"
    )
    assert_problem(owner("POST", f"/api/files/{moved['id']}/restore", {}), 403, "against-policy")
