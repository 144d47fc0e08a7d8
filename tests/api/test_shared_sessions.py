"""What a session's members may do with its files, and that they see no other file of its owner."""

from typing import Any

import pytest

from tests.support.api import UNKNOWN_ID, Api, assert_problem
from tests.support.files import act, detail, form, part, read, send_form, upload
from tests.support.sharing import Shared, new_shared
from tests.support.users import used


@pytest.fixture
def shared(owner: Api) -> Shared:
    return new_shared(owner)


@pytest.fixture
def viewer(files_api: Api, shared: Shared) -> Api:
    return shared.member(files_api, "viewer")


@pytest.fixture
def editor(files_api: Api, shared: Shared) -> Api:
    return shared.member(files_api, "editor")


def ids(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.json["items"]]


def test_a_viewer_sees_and_downloads_what_is_in_the_session(shared: Shared, viewer: Api) -> None:
    file = shared.file
    assert detail(viewer, file) == detail(shared.owner, file)
    assert read(viewer, file) == b"in it"
    for below in ("versions", "events"):
        path = f"/api/files/{file['id']}/{below}"
        assert viewer("GET", path).json == shared.owner("GET", path).json
    etag = viewer("GET", f"/api/files/{file['id']}").headers["ETag"]
    assert viewer("GET", f"/api/files/{file['id']}", If_None_Match=etag).status == 304


def test_lists_searches_and_counts_of_the_session_have_its_files_alone(shared: Shared, viewer: Api) -> None:
    file, named = shared.file["id"], shared.named
    lists = [
        "",
        "&q=seen",
        "&metadata.secret:exists=true",
        "&sort=name",
        "&state=any",
        "&prefix=" + shared.owner.user_id,
    ]
    for more in lists:
        assert ids(viewer("GET", f"/api/files?{named}{more}")) == [file], more
        below = f"{shared.path}/files?owner_id={shared.owner.user_id}{more}"
        assert ids(viewer("GET", below)) == [file], more
    assert ids(viewer("GET", f"/api/files?{named}&q=unseen&exact=true")) in ([], [file]), "seen is similar"
    assert ids(viewer("GET", f"/api/files?{named}&key={shared.others[0]['key'].replace(' ', '%20')}")) == []
    for exact in ("false", "true"):
        counted = viewer("GET", f"/api/files/facets?{named}&by=session,tag&exact={exact}").json
        assert counted["counted"] == 1
        assert counted["session"] == [{"value": shared.session_id, "files": 1, "bytes": 5}]
        assert viewer("GET", f"/api/files/facets?{named}&q=out&exact={exact}").json["counted"] == 0
        folders = viewer("GET", f"/api/folders?{named}&exact={exact}").json
        assert (folders["files"], folders["bytes"], [item["files"] for item in folders["items"]]) == (1, 5, [1])


def test_an_owner_too_may_ask_for_the_folders_of_one_session(shared: Shared, files_api: Api) -> None:
    assert shared.owner("GET", f"/api/folders?session_id={shared.session_id}").json["files"] == 1
    assert shared.owner("GET", "/api/folders").json["files"] == 3
    assert files_api("GET", f"/api/folders?{shared.named}").json["files"] == 1
    wrong = shared.owner("GET", f"/api/folders?owner_id={shared.owner.user_id}")
    assert_problem(wrong, 400, "invalid-input", ("query", ""))


def test_the_callers_own_list_has_no_file_of_others(shared: Shared, viewer: Api) -> None:
    mine = upload(viewer, b"mine", "mine.txt")
    assert ids(viewer("GET", "/api/files")) == [mine["id"]]
    assert ids(viewer("GET", f"/api/files?owner_id={shared.owner.user_id}")) == []
    assert ids(viewer("GET", f"/api/files?session_id={shared.session_id}")) == [], "a session of the caller's own"


FILE_ROUTES: list[tuple[str, str, Any]] = [
    ("GET", "", None), ("GET", "/versions", None), ("GET", "/events", None), ("GET", "/download", None),
    ("GET", "/shares", None), ("GET", "/parts", None), ("PUT", "", {"name": "x"}), ("PATCH", "", {"name": "x"}),
    ("DELETE", "", None), ("POST", "/inspect", None), ("POST", "/upload", None), ("POST", "/parts", {"part_numbers": [1]}),
    ("POST", "/complete", {}), ("POST", "/copy", {}), ("POST", "/move", {"key": "x"}), ("POST", "/restore", {}),
    ("POST", "/restore", {"version_id": "null"}), ("POST", "/shares", {}),
]  # fmt: skip
SEEN_BY_VIEWERS = {("GET", ""), ("GET", "/versions"), ("GET", "/events"), ("GET", "/download"), ("POST", "/copy")}
OWNERS = {("GET", "/shares"), ("POST", "/shares"), ("POST", "/move")}


def test_no_route_tells_a_member_of_the_owners_other_files(shared: Shared, viewer: Api, editor: Api) -> None:
    for member in (viewer, editor):
        for file in shared.others:
            for method, below, document in FILE_ROUTES:
                answer = member(method, f"/api/files/{file['id']}{below}", document)
                problem = assert_problem(answer, 404, "not-found")
                unknown = member(method, f"/api/files/{UNKNOWN_ID}{below}", document).json
                assert problem["detail"].replace(file["id"], UNKNOWN_ID) == unknown["detail"]
    others = [file["id"] for file in shared.others]
    for action in ("bulk-delete", "bulk-restore"):
        results = editor("POST", f"/api/files/{action}", {"file_ids": others}).json["results"]
        assert [result["problem"]["status"] for result in results] == [404, 404]
    assert_problem(viewer("POST", "/api/zips", {"file_ids": others, "name": "a.zip"}), 404, "not-found")


def test_what_takes_a_greater_role_answers_403_and_names_it(shared: Shared, viewer: Api, editor: Api) -> None:
    for method, below, document in FILE_ROUTES:
        path = f"/api/files/{shared.file['id']}{below}"
        if (method, below) not in SEEN_BY_VIEWERS:
            needed = "owner" if (method, below) in OWNERS else "editor"
            detail = assert_problem(viewer(method, path, document), 403, "forbidden")["detail"]
            assert detail == f"This takes the role {needed} in the session; yours is viewer."
        if (method, below) in OWNERS:
            detail = assert_problem(editor(method, path, document), 403, "forbidden")["detail"]
            assert detail == "This takes the role owner in the session; yours is editor."
    for action in ("bulk-delete", "bulk-restore"):
        (result,) = viewer("POST", f"/api/files/{action}", {"file_ids": [shared.file["id"]]}).json["results"]
        assert result["problem"]["status"] == 403
    assert detail_of_upload(viewer, shared) == 403
    for method, document in (("PUT", {}), ("PATCH", {}), ("DELETE", None)):
        path = f"{shared.path}?owner_id={shared.owner.user_id}"
        assert_problem(editor(method, path, document), 403, "forbidden")


def detail_of_upload(member: Api, shared: Shared) -> int:
    document = {"name": "a", "session_id": shared.session_id, "owner_id": shared.owner.user_id}
    return member("POST", "/api/files", document).status


def test_an_editor_changes_deletes_and_restores(shared: Shared, editor: Api) -> None:
    file = shared.file
    path = f"/api/files/{file['id']}"
    changed = editor("PATCH", path, {"name": "renamed.txt", "tags": ["edited"]})
    assert (changed.json["name"], changed.json["tags"]) == ("renamed.txt", ["edited"])
    replaced = editor("PUT", path, {"name": "again.txt", "session_id": shared.session_id})
    assert (replaced.json["name"], replaced.json["owner_id"]) == ("again.txt", shared.owner.user_id)

    assert editor("DELETE", path).status == 204
    assert ids(editor("GET", f"/api/files?{shared.named}&state=deleted")) == [file["id"]]
    assert_problem(editor("GET", path), 404, "not-found")
    act(editor, file, "restore")
    version = detail(editor, file)["version_id"]
    assert act(editor, file, "restore", {"version_id": version})["job"] is None
    assert read(shared.owner, file) == b"in it"


def test_an_editor_may_not_take_a_file_out_of_the_session(shared: Shared, editor: Api) -> None:
    path, other = f"/api/files/{shared.file['id']}", shared.others[0]["session_id"]
    editor("POST", "/api/sessions", {"session_id": "mine"})
    for session_id in (None, other, "mine"):
        assert_problem(editor("PATCH", path, {"session_id": session_id}), 403, "forbidden")
    assert_problem(editor("PUT", path, {"name": "x"}), 403, "forbidden")
    assert detail(shared.owner, shared.file)["session_id"] == shared.session_id


def test_many_files_of_several_owners_are_acted_on_at_once(shared: Shared, editor: Api) -> None:
    mine = upload(editor, b"mine", "mine.txt")
    files = [shared.file["id"], UNKNOWN_ID, mine["id"], shared.others[0]["id"]]
    for action in ("bulk-delete", "bulk-restore"):
        results = editor("POST", f"/api/files/{action}", {"file_ids": files}).json["results"]
        assert [(result["file_id"], result["status"]) for result in results] == [
            (files[0], "done"), (files[1], "failed"), (files[2], "done"), (files[3], "failed"),
        ]  # fmt: skip


def test_a_viewer_copies_and_zips_into_its_own_files(shared: Shared, viewer: Api) -> None:
    copy = act(viewer, shared.file, "copy", status=201)
    assert (copy["owner_id"], copy["session_id"], copy["state"]) == (viewer.user_id, None, "stored")
    assert copy["key"].startswith(f"{viewer.user_id}/")
    assert read(viewer, copy) == b"in it"

    mine = upload(viewer, b"mine", "mine.txt")
    job = viewer("POST", "/api/zips", {"file_ids": [shared.file["id"], mine["id"]], "name": "both.zip"}).json
    assert (job["state"], job["done"]) == ("done", 2)
    assert detail(viewer, {"id": job["result"]["file_id"]})["owner_id"] == viewer.user_id
    assert used(shared.owner) == (3, 19)


def test_what_an_editor_uploads_belongs_to_the_owner_and_counts_there(shared: Shared, editor: Api) -> None:
    before = used(shared.owner)
    announced = editor(
        "POST",
        "/api/files",
        {"name": "new.txt", "size": 3, "session_id": shared.session_id, "owner_id": shared.owner.user_id},
    )
    assert announced.status == 201, announced.body
    file = announced.json
    assert (file["owner_id"], file["session_id"]) == (shared.owner.user_id, shared.session_id)
    assert file["key"].startswith(f"{shared.owner.user_id}/")
    assert editor("POST", f"/api/files/{file['id']}/upload").status == 200
    sent = {"session_id": shared.session_id, "owner_id": shared.owner.user_id}
    uploaded = upload(editor, b"form", "form.txt", **sent)
    assert uploaded["owner_id"] == shared.owner.user_id
    assert used(shared.owner) == (before[0] + 2, before[1] + 7)
    assert used(editor) == (0, 0)


def test_a_duplicate_outside_the_session_is_not_offered_to_an_editor(shared: Shared, editor: Api) -> None:
    known = {file["name"]: detail(shared.owner, file)["sha256"] for file in [shared.file, *shared.others]}
    for name, sha256 in known.items():
        document = {"name": "a", "sha256": sha256, "session_id": shared.session_id, "owner_id": shared.owner.user_id}
        duplicate = editor("POST", "/api/files", document).json["duplicate"]
        assert (duplicate is not None) == (name == "seen.txt" and sha256 is not None)


def test_a_session_that_is_not_shared_is_not_found(shared: Shared, viewer: Api, stranger: Api) -> None:
    stranger("POST", "/api/sessions", {"session_id": shared.session_id})
    other = f"owner_id={shared.owner.user_id}&session_id={shared.others[0]['session_id']}"
    for member, named in ((stranger, shared.named), (viewer, other), (viewer, f"{shared.named}x")):
        owner, session = (text.partition("=")[2] for text in named.split("&"))
        for path in (
            f"/api/files?{named}", f"/api/files/facets?{named}", f"/api/folders?{named}",
            f"/api/sessions/{session}?owner_id={owner}", f"/api/sessions/{session}/files?owner_id={owner}",
            f"/api/sessions/{session}/usage?owner_id={owner}", f"/api/sessions/{session}/members?owner_id={owner}",
        ):  # fmt: skip
            assert_problem(member("GET", path), 404, "not-found")
        document = {"name": "a", "session_id": session, "owner_id": owner}
        assert_problem(member("POST", "/api/files", document), 404, "not-found")
        sent = form(part(b"x", filename="a"), part(session.encode(), "session_id"), part(owner.encode(), "owner_id"))
        assert_problem(send_form(member, sent), 404, "not-found")
    assert_problem(stranger("POST", "/api/files", {"name": "a", "owner_id": owner}), 400, "invalid-input", ("body", ""))
