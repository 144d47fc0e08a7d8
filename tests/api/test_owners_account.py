"""Who sees a part of a user's files is not told how full the user's account is, though its quota holds."""

import base64
import json
import re
from typing import Any

import pytest

from tests.support.api import Api, assert_problem
from tests.support.clockwork import Clockwork
from tests.support.files import upload
from tests.support.sharing import Shared, new_shared
from tests.support.uploads import begin, put_part, send_fields
from tests.support.users import limit, used

_QUOTA = 1_000_000


@pytest.fixture
def shared(files_api: Api, owner: Api) -> Shared:
    limit(files_api, owner, max_bytes=_QUOTA)
    return new_shared(owner)


@pytest.fixture
def editor(files_api: Api, shared: Shared) -> Api:
    return shared.member(files_api, "editor")


@pytest.fixture
def session_key(shared: Shared) -> Api:
    """A client with an API key for the session alone."""
    secret = shared.owner(
        "POST", "/api/keys", {"name": "k", "scopes": ["read", "write"], "session_id": shared.session_id}
    ).json["secret"]
    return Api(shared.owner.port, shared.owner.log, {"Authorization": f"Bearer {secret}"})


def meta(shared: Shared) -> dict[str, str]:
    return {"session_id": shared.session_id, "owner_id": shared.owner.user_id}


def most_bytes(fields: dict[str, str]) -> int:
    """What a form says that S3 takes at most."""
    policy = json.loads(base64.b64decode(next(value for name, value in fields.items() if name.lower() == "policy")))
    (bounds,) = (one for one in policy["conditions"] if isinstance(one, list) and one[0] == "content-length-range")
    return int(bounds[2])


def forms(api: Api, shared: Shared) -> list[dict[str, str]]:
    """The fields of a form that each route signs which doesn't know a size."""
    place = meta(shared)
    query = "".join(f"&metadata[{name}]={value}" for name, value in place.items())
    signed = api("POST", "/api/uploads/sign", {"method": "PUT", "key": "c", "file": {"meta": place}})
    return [
        api("GET", f"/s3/params?filename=a{query}").json["fields"],
        begin(api, method="post", **place)["plan"]["fields"],
        signed.json["fields"],
    ]


def bounds_of(api: Api, shared: Shared) -> set[int]:
    return {most_bytes(fields) for fields in forms(api, shared)}


def assert_no_figures(text: str) -> None:
    assert "no room" in text
    assert not re.search(r"\d{2}", text), text


def test_a_refusal_has_no_figures(files_api: Api, shared: Shared, editor: Api, session_key: Api) -> None:
    for api in (editor, session_key, shared.owner):
        refused = api("POST", "/api/files", {"name": "x", "size": _QUOTA, **meta(shared)})
        assert_no_figures(assert_problem(refused, 403, "over-quota")["detail"])
    limit(files_api, shared.owner, max_files=used(shared.owner)[0])
    refused = editor("POST", "/api/files", {"name": "x", "size": 1, **meta(shared)})
    assert_no_figures(assert_problem(refused, 403, "over-quota")["detail"])


def test_what_a_session_holds_is_told_to_who_sees_it(shared: Shared, editor: Api) -> None:
    shared.owner("PATCH", shared.path, {"limits": {"max_bytes": 123}})
    refused = editor("POST", "/api/files", {"name": "x", "size": 500, **meta(shared)})
    assert "123 bytes" in assert_problem(refused, 403, "over-quota")["detail"]


@pytest.mark.parametrize("who", ["editor", "session_key"])
def test_a_forms_limit_tells_no_more_than_a_power_of_two(
    shared: Shared, who: str, request: pytest.FixtureRequest
) -> None:
    api: Api = request.getfixturevalue(who)
    assert bounds_of(api, shared) == {2**19}
    upload(shared.owner, bytes(123_456), "private.bin")
    assert bounds_of(api, shared) == {2**19}
    assert bounds_of(shared.owner, shared) == {_QUOTA - used(shared.owner)[1]}
    upload(shared.owner, bytes(500_000), "private.bin")
    assert bounds_of(api, shared) == {2**18}
    shared.owner("PATCH", shared.path, {"limits": {"max_file_bytes": 777}})
    assert bounds_of(api, shared) == {777}, "the session's own limits are told"


def test_a_form_of_a_full_account_takes_nothing(files_api: Api, shared: Shared, editor: Api) -> None:
    limit(files_api, shared.owner, max_bytes=used(shared.owner)[1])
    assert bounds_of(editor, shared) == {0}


def test_what_is_noted_at_a_file_has_no_figures(shared: Shared, editor: Api, clockwork: Clockwork) -> None:
    begun: Any = editor("POST", "/s3/multipart", {"filename": "a.bin", "metadata": meta(shared)}).json
    place, query = f"/s3/multipart/{begun['uploadId']}", f"key={begun['key']}"
    etag = put_part(editor("GET", f"{place}/1?{query}").json["url"], bytes(_QUOTA))
    sent = {"parts": [{"PartNumber": 1, "ETag": etag}]}
    refused = editor("POST", f"{place}/complete?{query}", sent)
    assert refused.status == 403
    assert_no_figures(refused.json["detail"])
    (file,) = editor.items(f"/api/files?{shared.named}&key={begun['key']}")
    noted = editor("GET", f"/api/files/{file['id']}").json["upload"]["problem"]
    assert_no_figures(noted)
    (reason,) = (one for one in clockwork.measure() if "room" in one)
    assert_no_figures(reason)


def test_what_is_judged_too_much_has_no_figures(shared: Shared, editor: Api, clockwork: Clockwork) -> None:
    for plan in [begin(editor, method="post", **meta(shared))["plan"] for _ in range(2)]:
        assert send_fields(plan, bytes(2**19)).status == 201
        clockwork.deliver_current(plan["fields"]["key"])
    (refused,) = clockwork.judge()
    problem = assert_problem(editor("GET", f"/api/files/{refused}"), 404, "not-found")
    assert_no_figures(problem["detail"].partition(". ")[2])
