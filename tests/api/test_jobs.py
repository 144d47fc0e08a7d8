"""Jobs: who sees them."""

from urllib.parse import urlencode

from tests.support.api import Api, assert_problem


def test_only_its_owner_and_operators_see_a_job(owner: Api, files_api: Api, stranger: Api, tree: str) -> None:
    job = owner("DELETE", f"/api/folders?{urlencode({'prefix': tree + 'b/'})}").json

    assert_problem(stranger("GET", f"/api/jobs/{job['id']}"), 404, "not-found")
    assert_problem(stranger("POST", f"/api/jobs/{job['id']}/cancel"), 404, "not-found")
    assert stranger("GET", "/api/jobs").json["items"] == []
    assert job["id"] in [item["id"] for item in files_api("GET", "/api/jobs").json["items"]]
    assert stranger("DELETE", f"/api/folders?{urlencode({'prefix': tree})}").json["done"] == 0
    assert len(owner("GET", f"/api/files?{urlencode({'prefix': tree})}").json["items"]) == 8
