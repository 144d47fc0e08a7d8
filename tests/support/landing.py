"""Objects that are put straight into the bucket `versioned`, and what S3 tells of them."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any

from sqlalchemy import Engine

from chalicelib.runtime import now
from tests.support.api import Api
from tests.support.files import act, unique
from tests.support.notifications import s3_record
from tests.support.recording import deliver

BUCKET = "versioned"
_sequencers = count(1)


@dataclass
class Scanner:
    """A machine that drops objects below a prefix of its own. Each time `belong_to` says to whom new ones belong from then on."""

    engine: Engine
    s3: Any
    operator: Api
    prefix: str = field(default_factory=lambda: f"{unique('scanner')}/")
    rule: str | None = None

    def belong_to(self, owner: Api) -> None:
        """What lands from now on belongs to this member."""
        if self.rule is not None:
            assert self.operator("DELETE", f"/api/owner-rules/{self.rule}").status == 204
        document = {"prefix": self.prefix, "user_id": owner.user_id, "bucket": BUCKET}
        made = self.operator("POST", "/api/owner-rules", document)
        assert made.status == 201, made.body
        self.rule = made.json["id"]

    def tell(self, event: str, key: str, **fields: Any) -> None:
        """Tell what has become of a key."""
        sequencer = f"{next(_sequencers):08X}"
        deliver(self.engine, s3_record(event, key, bucket=BUCKET, sequencer=sequencer, time=now(), **fields))

    def land(self, key: str, content: bytes) -> None:
        """Put an object, and tell of it."""
        put = self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)
        fields = {"version_id": put["VersionId"], "etag": put["ETag"].strip('"'), "size": len(content)}
        self.tell("ObjectCreated:Put", key, **fields)

    def move(self, owner: Api, file: dict[str, Any], key: str) -> Any:
        """Move a file, and tell of the delete marker at its old key."""
        moved = act(owner, file, "move", {"key": key})
        listed = self.s3.list_object_versions(Bucket=BUCKET, Prefix=file["key"])
        marker = listed["DeleteMarkers"][0]["VersionId"]
        self.tell("ObjectRemoved:DeleteMarkerCreated", file["key"], version_id=marker)
        return moved
