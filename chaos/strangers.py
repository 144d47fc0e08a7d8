"""Clients that write straight to S3."""

import threading
from random import Random
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chaos.journal import Journal
from dev.infra import client

_KEYS = 25


class Stranger:
    """Puts, copies, deletes and restores at keys of its own, in every way that S3 has."""

    def __init__(self, s3_url: str, bucket: str, journal: Journal, random: Random, name: str) -> None:
        self._random, self._name, self._bucket, self._journal = random, name, bucket, journal
        self._s3 = client("s3", s3_url, s3={"addressing_style": "path"}, read_timeout=10)
        self._versions: list[tuple[str, str]] = []

    def act(self) -> None:
        """Do one thing. Whether it worked is S3's business: what counts is what the bucket holds in the end."""
        threading.Event().wait(self._random.uniform(0, 0.3))  # the API needs a processor, too
        action = self._random.choice(
            (self._put, self._put, self._put, self._multipart, self._copy, self._delete, self._bulk, self._remove)
        )
        try:
            action({"Bucket": self._bucket, "Key": self._key()})
        except (BotoCoreError, ClientError) as error:
            self._journal.note(does=action.__name__.strip("_"), error=repr(error))

    def _put(self, at: dict[str, Any]) -> None:
        body = self._random.randbytes(self._random.choice((0, 10, 3000)))
        self._call("put_object", at, Body=body, ContentType="text/plain")

    def _multipart(self, at: dict[str, Any]) -> None:
        upload = self._s3.create_multipart_upload(**at)["UploadId"]
        part = self._s3.upload_part(**at, UploadId=upload, PartNumber=1, Body=self._random.randbytes(50))
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        self._call("complete_multipart_upload", at, UploadId=upload, MultipartUpload=parts)

    def _copy(self, at: dict[str, Any]) -> None:
        if self._versions:
            key, version = self._random.choice(self._versions)
            named = {"VersionId": version} if version else {}
            self._call("copy_object", at, CopySource={"Bucket": self._bucket, "Key": key, **named})

    def _delete(self, at: dict[str, Any]) -> None:
        self._call("delete_object", at)

    def _bulk(self, at: dict[str, Any]) -> None:
        keys = sorted({at["Key"], self._key()})
        self._call("delete_objects", {"Bucket": self._bucket}, Delete={"Objects": [{"Key": key} for key in keys]})

    def _remove(self, at: dict[str, Any]) -> None:
        if self._versions:
            key, version = self._versions.pop(self._random.randrange(len(self._versions)))
            self._call("delete_object", at | {"Key": key}, **({"VersionId": version} if version else {}))

    def _call(self, operation: str, at: dict[str, Any], **options: Any) -> None:
        told = {name: value for name, value in options.items() if name != "Body"}
        self._journal.note(asks=operation, at=at, options=told)
        answer = getattr(self._s3, operation)(**at, **options)
        version = answer.get("VersionId")
        self._journal.note(asked=operation, at=at, options=told, version_id=version, etag=answer.get("ETag"))
        if "Key" in at and "VersionId" not in options:
            self._versions.append((at["Key"], version or ""))

    def _key(self) -> str:
        return f"strangers/{self._name}/ä {self._random.randrange(_KEYS)}"
