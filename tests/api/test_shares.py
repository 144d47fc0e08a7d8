"""Links that give a file to whoever has them."""

import urllib.error
import urllib.request
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, text

from tests.support.api import Api, assert_problem
from tests.support.files import act, upload
from tests.support.users import new_member


def shared(api: Api, url: str, method: str = "GET") -> Any:
    """What somebody without credentials gets for a share's URL."""
    return api.as_nobody()(method, url[url.index("/api/shared/") :])


def test_a_share_link_leads_to_the_file_without_credentials(owner: Api) -> None:
    file = upload(owner, b"hello", "a.txt")
    share = act(owner, file, "shares", {"max_uses": 2}, 201)

    head = shared(owner, share["url"], "HEAD")
    assert (head.status, head.headers["Location"]) == (200, None)

    for _ in range(2):
        answer = shared(owner, share["url"])
        assert answer.status == 302
        assert urllib.request.urlopen(answer.headers["Location"]).read() == b"hello"
    assert_problem(shared(owner, share["url"]), 404, "not-found")

    (listed,) = owner("GET", f"/api/files/{file['id']}/shares").json["items"]
    assert (listed["uses"], listed["max_uses"]) == (2, 2)
    assert "url" not in listed
    assert "token" not in str(listed)


def test_head_of_a_share_reveals_no_link(owner: Api) -> None:
    share = act(owner, upload(owner), "shares", {"max_uses": 1}, 201)

    head = shared(owner, share["url"], "HEAD")
    assert (head.status, head.headers["Location"], head.body) == (200, None, b"")


def test_a_share_link_ends_when_it_is_revoked_expires_or_its_file_is_deleted(
    owner: Api, stranger: Api, engine: Engine
) -> None:
    file = upload(owner, b"hello")
    revoked, expired, gone = (act(owner, file, "shares", {}, 201) for _ in range(3))

    problem = assert_problem(stranger("DELETE", f"/api/shares/{revoked['id']}"), 404, "not-found")
    assert file["id"] not in str(problem)
    assert owner("DELETE", f"/api/shares/{revoked['id']}").status == 204
    assert_problem(shared(owner, revoked["url"]), 404, "not-found")

    with engine.begin() as connection:
        late = "UPDATE shares SET expires_at = now() - interval '1 second' WHERE id = CAST(:id AS uuid)"
        connection.execute(text(late), {"id": expired["id"]})

    assert_problem(shared(owner, expired["url"]), 404, "not-found")
    assert shared(owner, gone["url"]).status == 302

    owner("DELETE", f"/api/files/{file['id']}")
    assert_problem(shared(owner, gone["url"]), 404, "not-found")
    assert_problem(owner("POST", f"/api/files/{file['id']}/shares", {}), 404, "not-found")
    assert_problem(shared(owner, "/api/shared/no-such-token"), 404, "not-found")
    assert_problem(owner("DELETE", f"/api/shares/{uuid4()}"), 404, "not-found")


def test_a_link_leads_nowhere_while_its_files_owner_or_its_maker_is_disabled(files_api: Api, owner: Api) -> None:
    file = upload(owner, b"hello")
    maker = new_member(files_api, role="operator")
    by_owner, by_maker = (act(api, file, "shares", {}, 201)["url"] for api in (owner, maker))
    for disabled, statuses in ((owner, (404, 404)), (maker, (302, 404))):
        files_api("PATCH", f"/api/users/{disabled.user_id}", {"disabled": True})
        assert tuple(shared(owner, url).status for url in (by_owner, by_maker)) == statuses
        files_api("PATCH", f"/api/users/{disabled.user_id}", {"disabled": False})
        assert tuple(shared(owner, url).status for url in (by_owner, by_maker)) == (302, 302)
