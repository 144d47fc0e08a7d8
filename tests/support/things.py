"""Things of one owner's to ask about: there, deleted, or such as never were."""

import json
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from chalicelib import runtime
from tests.support.backend import BUCKET
from tests.support.files import BOUNDARY, form, part
from tests.support.identified import Service

# "Deleted" is, for things that aren't deleted: revoked, ended, given up.
STATES = ("there", "deleted", "unknown")
Names = dict[str, str]

_USER = "INSERT INTO users (id, name, created_at, updated_at) VALUES (CAST(:id AS uuid), 'Somebody', now(), now())"
_JOB = """INSERT INTO jobs (id, owner_id, kind, state, command, run_after, created_at, updated_at)
VALUES (CAST(:id AS uuid), CAST(:owner AS uuid), 'empty_trash', :state, '{"until": "2026-01-01T00:00:00Z", "everyones": false}',
now() + interval '1 day', now(), now())"""
_EVENT = """INSERT INTO dead_events (id, message_id, body, about, reason, sent_at, tried_at)
VALUES (CAST(:id AS uuid), :id, '{}', 'bucket/key', 'no reason', now(), now())"""
_RULE = """INSERT INTO owner_rules (id, bucket, prefix, user_id, created_at)
VALUES (CAST(:id AS uuid), 'backend', :id, CAST(:owner AS uuid), now())"""
_AUDIT = """INSERT INTO audits (id, bucket, state, repairs, brake, grace_seconds, created_at, updated_at, finished_at)
VALUES (CAST(:id AS uuid), 'backend', :state, false, 0.5, 60, now(), now(), CASE WHEN :state = 'done' THEN now() END)"""


_BARRED = """INSERT INTO barred_identities (id, identity_hash, user_id, created_at)
VALUES (CAST(:id AS uuid), :id, gen_random_uuid(), now())"""


class Things:
    """Makes them, as the owner does. What no route makes is written into the tables."""

    def __init__(self, service: Service, authorization: str, owner_id: str) -> None:
        self._service, self._authorization, self._owner = service, authorization, owner_id
        self._shared_session = f"shared-{uuid4()}"
        self.names = cache(self._names)

    def share_with(self, members: dict[str, str]) -> None:
        """Share the session of shared files with users, by their roles in it."""
        self._call("POST", "/api/sessions", {"session_id": self._shared_session})
        path = "/api/sessions/{session_id}/members"
        for role, user_id in members.items():
            self._call("POST", path, {"user_id": user_id, "role": role}, session_id=self._shared_session)

    def _names(self, kind: str, state: str, _for: str) -> Names:
        """What a thing of a kind, in a state, is called in paths, queries and bodies. Asking again names the same."""
        return getattr(self, f"_{kind}")(state) if kind else {}

    def _shared_file(self, state: str) -> Names:
        """A file in a session that is shared with others."""
        return self._file(state, self._shared_session)

    def _file(self, state: str, session_id: str = "") -> Names:
        if state == "unknown":
            return {"file_id": str(uuid4()), "key": f"{self._owner}/{uuid4()}/a", "folder": f"{self._owner}/{uuid4()}/"}
        in_session = [part(session_id.encode(), "session_id")] if session_id else []
        body = form(part(b"hello", filename="a"), *in_session).decode()
        form_type = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        (file,) = self._call("POST", "/api/files/upload", body=body, headers=form_type)
        if state == "deleted":
            self._call("DELETE", "/api/files/{file_id}", file_id=file["id"])
        return {"file_id": file["id"], "key": file["key"], "folder": file["key"].rpartition("/")[0] + "/"}

    def _upload(self, state: str) -> Names:
        """An upload in parts, all of which have come."""
        if state == "unknown":
            return {
                "file_id": str(uuid4()),
                "key": f"{self._owner}/{uuid4()}/a",
                "upload_id": uuid4().hex,
                "etag": uuid4().hex,
            }
        file = self._call("POST", "/api/files", {"name": "a", "size": 5, "method": "multipart"})
        place = {"Bucket": BUCKET, "Key": file["key"], "UploadId": file["plan"]["upload_id"]}
        etag = self._service.s3.upload_part(**place, PartNumber=1, Body=b"hello")["ETag"]
        if state == "deleted":
            self._call("DELETE", "/api/files/{file_id}", file_id=file["id"])
        return {"file_id": file["id"], "key": file["key"], "upload_id": place["UploadId"], "etag": etag.strip('"')}

    def _session(self, state: str) -> Names:
        names = {"session_id": f"session-{uuid4()}"}
        if state != "unknown":
            self._call("POST", "/api/sessions", names)
        if state == "deleted":
            self._call("DELETE", "/api/sessions/{session_id}", **names)
        return names

    def _share(self, state: str) -> Names:
        if state == "unknown":
            return {"share_id": str(uuid4()), "token": uuid4().hex}
        share = self._call("POST", "/api/files/{file_id}/shares", {}, file_id=self._file("there")["file_id"])
        if state == "deleted":
            self._call("DELETE", "/api/shares/{share_id}", share_id=share["id"])
        return {"share_id": share["id"], "token": share["url"].rpartition("/")[2]}

    def _user(self, state: str) -> Names:
        """Somebody who owns nothing."""
        names = {"user_id": str(uuid4())}
        return names if state != "there" else names | _add(_USER, names["user_id"])

    def _self(self, state: str) -> Names:
        return {"user_id": self._owner} if state == "there" else self._user(state)

    def _job(self, state: str) -> Names:
        names = {"job_id": str(uuid4())}
        told = {"owner": self._owner, "state": "queued" if state == "there" else "done"}
        return names if state == "unknown" else names | _add(_JOB, names["job_id"], **told)

    def _api_key(self, state: str) -> Names:
        """A key with the scope `admin` alone."""
        if state == "unknown":
            return {"key_id": str(uuid4())}
        made = self._call("POST", "/api/keys", {"name": "machine", "scopes": ["admin"]})
        if state == "deleted":
            self._call("DELETE", "/api/keys/{key_id}", key_id=made["id"])
        return {"key_id": made["id"], "secret": made["secret"]}

    def confined_key(self) -> str:
        """The secret of a key of the owner's for a prefix at which there is nothing."""
        said = {"name": "machine", "scopes": ["read", "write"], "prefix": f"{self._owner}/elsewhere/"}
        return str(self._call("POST", "/api/keys", said)["secret"])

    def _rule(self, state: str) -> Names:
        names = {"rule_id": str(uuid4())}
        return names if state != "there" else names | _add(_RULE, names["rule_id"], owner=self._owner)

    def _identity(self, state: str) -> Names:
        names = {"identity_id": str(uuid4())}
        return names if state != "there" else names | _add(_BARRED, names["identity_id"])

    def _member(self, state: str) -> Names:
        """A member of a session that is there."""
        names = self._session("there")
        if state == "unknown":
            return names | {"member_id": str(uuid4())}
        path, said = "/api/sessions/{session_id}/members", {"email": f"{uuid4().hex}@example.com", "role": "viewer"}
        names["member_id"] = self._call("POST", path, said, **names)["id"]
        if state == "deleted":
            self._call("DELETE", f"{path}/{{member_id}}", **names)
        return names

    def _audit(self, state: str) -> Names:
        names = {"audit_id": str(uuid4())}
        told = "listing" if state == "there" else "done"
        return names if state == "unknown" else names | _add(_AUDIT, names["audit_id"], state=told)

    def _event(self, state: str) -> Names:
        names = {"event_id": str(uuid4())}
        return names if state != "there" else names | _add(_EVENT, names["event_id"])

    def _call(self, method: str, resource: str, body: Any = None, headers: Any = None, **names: str) -> Any:
        parts: dict[str, Any] = {
            "pathParameters": names or None,
            "headers": headers or {"Content-Type": "application/json"},
        }
        if body is not None:
            parts["body"] = body if isinstance(body, str) else json.dumps(body)
        answer = self._service.ask(self._authorization, resource, method, **parts)
        assert answer["statusCode"] < 300, answer
        return json.loads(answer["body"] or "null")


def promote(user_id: str) -> None:
    """Make somebody an operator."""
    _add("UPDATE users SET role = 'operator' WHERE id = CAST(:id AS uuid)", user_id)


def _add(statement: str, identifier: str, **values: str) -> Names:
    with runtime.transaction() as session:
        session.execute(text(statement), {"id": identifier} | values)
    return {}


def checksums(but_of: str = "") -> dict[str, str]:
    """A checksum of the rows of each table. ``but_of``: of those in tables with owners that don't belong to this user."""
    whose = f"WHERE owner_id IS DISTINCT FROM '{but_of}'" if but_of else ""
    rows = "SELECT '{0}', md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {0} AS t " + whose
    with runtime.transaction() as session:
        found = session.execute(text(" UNION ALL ".join(map(rows.format, _tables(but_of)))))
        return {row[0]: row[1] for row in found}


def stored(s3: Any, but_of: str = "") -> dict[str, list[tuple[str, ...]]]:
    """What S3 holds: versions, delete markers and unfinished uploads. ``but_of``: without those below this user's prefix."""
    pages = {
        "list_object_versions": {"Versions": "VersionId", "DeleteMarkers": "VersionId"},
        "list_multipart_uploads": {"Uploads": "UploadId"},
    }
    return {
        kind: [
            (one["Key"], one[identifier])
            for page in s3.get_paginator(operation).paginate(Bucket=BUCKET)
            for one in page.get(kind, [])
            if not but_of or not one["Key"].startswith(f"{but_of}/")
        ]
        for operation, kinds in pages.items()
        for kind, identifier in kinds.items()
    }


@cache
def _tables(but_of: str) -> list[str]:
    with runtime.transaction() as session:
        return list(session.scalars(text(_OWNED if but_of else _TABLES)))


_TABLES = """SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
AND relnamespace = CAST('public' AS regnamespace)"""
_OWNED = f"{_TABLES} AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = pg_class.oid AND attname = 'owner_id')"
