"""What each route that may change something leaves in the trail: a route without a line here fails the test."""

import json
from typing import get_args

import pytest

from chalicelib.api.routes import ROUTES
from chalicelib.catalog.acts import Act
from tests.support.callers import Caller

# What each route that may change something leaves in the trail. "": nothing, because another line has it, or nothing changes.
LEFT = {
    "POST /api/users": "make_user",
    "PUT /api/users/{user_id}": "change_user",
    "PATCH /api/users/{user_id}": "role",
    "DELETE /api/users/{user_id}": "delete_user",
    "DELETE /api/barred-identities/{identity_id}": "admit_identity",
    "POST /api/keys": "make_key",
    "DELETE /api/keys/{key_id}": "revoke_key",
    "POST /api/credentials": "make_credentials",
    "POST /api/sessions": "make_session",
    "POST /api/session": "make_session",
    "PUT /api/sessions/{session_id}": "change_session",
    "PATCH /api/sessions/{session_id}": "change_session",
    "DELETE /api/sessions/{session_id}": "delete_session",
    "POST /api/sessions/{session_id}/members": "member",
    "PATCH /api/sessions/{session_id}/members/{member_id}": "change_member",
    "DELETE /api/sessions/{session_id}/members/{member_id}": "remove_member",
    "POST /api/sessions/{session_id}/hand-over": "hand_over",
    "POST /api/files/{file_id}/hand-over": "hand_over",
    "POST /api/owner-rules": "make_owner_rule",
    "DELETE /api/owner-rules/{rule_id}": "delete_owner_rule",
    "POST /api/owner-rules/{rule_id}/apply": "assign_owners",
    "PUT /api/files/{file_id}": "rename",
    "PATCH /api/files/{file_id}": "metadata",
    "DELETE /api/files/{file_id}": "delete",
    "POST /api/files/{file_id}/inspect": "",  # Landfall looks again; nobody changes anything
    "POST /api/files": "upload",
    "POST /api/files/{file_id}/upload": "",  # the upload is in the trail since it began; that goes for the next three, too
    "POST /api/files/{file_id}/parts": "",
    "POST /api/files/{file_id}/complete": "",
    "POST /api/files/upload": "upload",
    "POST /api/files/{file_id}/copy": "copy",
    "POST /api/files/{file_id}/move": "move",
    "POST /api/files/{file_id}/restore": "restore",
    "POST /api/files/bulk-delete": "delete",
    "POST /api/files/bulk-restore": "restore",
    "DELETE /api/folders": "delete_folder",
    "DELETE /api/trash": "empty_trash",
    "POST /api/zips": "zip",
    "POST /api/jobs/{job_id}/cancel": "cancel_job",
    "POST /api/files/{file_id}/shares": "share",
    "DELETE /api/shares/{share_id}": "revoke_share",
    "POST /s3/multipart": "upload",
    "DELETE /s3/multipart/{upload_id}": "abort",
    "POST /s3/multipart/{upload_id}/complete": "",
    "POST /api/uploads/sign": "upload",
    "POST /api/audits": "audit",
    "POST /api/audits/{audit_id}/cancel": "cancel_audit",
    "POST /api/dead-events/redrive": "redrive_events",
    "POST /api/dead-events/discard": "discard_events",
}


def test_every_route_that_may_change_something_says_what_it_leaves() -> None:
    writing = {f"{route.method} {route.path}" for route in ROUTES if route.method not in ("GET", "HEAD")}
    assert writing == set(LEFT)
    assert set(LEFT.values()) - {""} <= set(get_args(Act))


@pytest.mark.usefixtures("in_this_process")
def test_what_a_key_does_is_in_the_trail_with_its_id_and_so_are_its_beginning_and_end() -> None:
    ada = Caller().new_member()
    machine, key = ada.new_key("read", "write")
    file = machine.new_file()
    assert ada("DELETE", "/api/keys/{key_id}", key_id=key["id"]).status == 204

    acts = ada("GET", "/api/trail").json["items"]
    assert [(item["act"], item["key_id"]) for item in acts if item["act"] != "make_user"] == [
        ("revoke_key", None),
        ("upload", key["id"]),
        ("make_key", None),
    ]
    assert [item["subject_id"] for item in acts[:3]] == [key["id"], None, key["id"]]
    assert (acts[1]["file_id"], acts[1]["actor_id"]) == (file["id"], ada.user_id)
    assert key["secret"] not in json.dumps(acts)


@pytest.mark.usefixtures("in_this_process")
def test_a_key_for_a_part_reads_the_trail_of_files_and_no_other() -> None:
    ada = Caller().new_member()
    file = ada.new_file()
    confined, _ = ada.new_key("read", prefix=f"{ada.user_id}/")
    assert confined("GET", "/api/trail").status == 403
    assert confined("GET", "/api/files/{file_id}/trail", file_id=file["id"]).status == 200
