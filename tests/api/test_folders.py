"""Folders: what keys have in common, counted and deleted."""

from urllib.parse import urlencode

from tests.support.api import Api, assert_problem


def test_folders_are_counted_at_any_depth_and_paged(owner: Api, stranger: Api, tree: str) -> None:
    found = owner("GET", f"/api/folders?{urlencode({'prefix': tree})}").json
    assert [(item["name"], item["files"], item["bytes"]) for item in found["items"]] == [
        ("a", 6, 30), ("b", 2, 10), ("c d", 1, 5),
    ]  # fmt: skip
    assert (found["files"], found["bytes"], found["exact"], found["next_cursor"]) == (10, 50, True, None)
    assert owner("GET", f"/api/folders?{urlencode({'prefix': tree, 'exact': 'true'})}").json == found
    assert found["items"][0]["prefix"] == f"{tree}a/"

    inner = owner("GET", f"/api/folders?{urlencode({'prefix': tree + 'a/'})}").json
    assert [(item["name"], item["files"]) for item in inner["items"]] == [("deep", 2)]

    paged = owner.items(f"/api/folders?{urlencode({'prefix': tree, 'limit': 1})}")
    assert [item["name"] for item in paged] == ["a", "b", "c d"]
    assert stranger("GET", f"/api/folders?{urlencode({'prefix': tree})}").json["files"] == 0

    for cursor in ("x", "W10", "WyJmb2xkZXJzIiwgIngiXQ"):
        answer = owner("GET", f"/api/folders?{urlencode({'prefix': tree, 'cursor': cursor})}")
        assert_problem(answer, 400, "invalid-cursor", ("query", "cursor"))


def test_a_folder_is_deleted_as_a_job_and_everything_else_stays(owner: Api, tree: str) -> None:
    answer = owner("DELETE", f"/api/folders?{urlencode({'prefix': tree + 'a/'})}")
    assert answer.status == 202

    job = answer.json
    assert (job["state"], job["done"], job["failed"], job["kind"]) == ("done", 6, 0, "delete_folder")
    assert answer.headers["Location"].endswith(f"/api/jobs/{job['id']}")
    assert owner("GET", f"/api/jobs/{job['id']}").json == job
    assert owner("GET", "/api/jobs").json["items"] == [job]

    left = owner("GET", f"/api/files?{urlencode({'prefix': tree})}").json["items"]
    assert len(left) == 4

    assert_problem(owner("DELETE", "/api/folders"), 400, "invalid-input", ("query", "prefix"))
    assert_problem(owner("DELETE", "/api/folders?prefix="), 400, "invalid-input", ("query", "prefix"))
