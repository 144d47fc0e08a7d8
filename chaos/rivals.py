"""Clients who act as one user on the same files at the same time, by routes and straight in S3, and who promise nothing."""

from random import Random
from typing import Any

import urllib3
from botocore.exceptions import BotoCoreError, ClientError

from chaos.asking import Asker
from chaos.journal import Journal
from dev.infra import client

_FEW = 6  # keys that files are moved to, so that they meet there


class Rival:
    """One of them. ``files`` are shared: the keys that files were last seen at, by their ids."""

    def __init__(
        self, asker: Asker, s3_url: str, bucket: str, files: dict[str, str], journal: Journal, random: Random
    ) -> None:
        """``asker`` asks as the user."""
        self._asker, self._files, self._journal, self._random = asker, files, journal, random
        self._bucket, self._user_id = bucket, asker.headers["X-Landfall-User"]
        self._s3 = client("s3", s3_url, s3={"addressing_style": "path"}, read_timeout=10)
        self._jobs: list[str] = []

    def act(self) -> None:
        """Do one thing to a file, whatever another one does to it at this moment."""
        if len(self._files) < 3:
            self._upload()
            return
        file_id = self._random.choice(sorted(self._files))
        action = self._random.choice(
            (self._upload, self._look, self._delete, self._restore, self._restore_version, self._move, self._copy,
             self._put_directly, self._delete_directly, self._many, self._delete_folder, self._cancel, self._other)
        )  # fmt: skip
        try:
            action(*(() if action in (self._upload, self._many, self._delete_folder, self._cancel) else (file_id,)))
        except (BotoCoreError, ClientError) as error:
            self._journal.note(does=action.__name__.strip("_"), file_id=file_id, error=repr(error))

    def _upload(self) -> None:
        fields: dict[str, Any] = {"file": ("rival.txt", self._random.randbytes(50), "text/plain")}
        body, kind = urllib3.encode_multipart_formdata(fields, "chaos")
        told = self._asker.ask("POST", "/api/files/upload", body=body, content_type=kind)
        if told is not None and told.status == 201:
            self._files[told.document[0]["id"]] = told.document[0]["key"]

    def _look(self, file_id: str) -> None:
        told = self._asker.ask("GET", f"/api/files/{file_id}")
        if told is not None and told.status == 200:
            self._files[file_id] = told.document["key"]

    def _delete(self, file_id: str) -> None:
        self._asker.ask("DELETE", f"/api/files/{file_id}")

    def _restore(self, file_id: str) -> None:
        self._asker.ask("POST", f"/api/files/{file_id}/restore", {})

    def _restore_version(self, file_id: str) -> None:
        told = self._asker.ask("GET", f"/api/files/{file_id}/versions")
        if told is not None and told.status == 200 and told.document["items"]:
            version_id = self._random.choice(told.document["items"])["version_id"]
            self._note_job("POST", f"/api/files/{file_id}/restore", {"version_id": version_id})

    def _move(self, file_id: str) -> None:
        key = f"{self._user_id}/few/{self._random.randrange(_FEW)}.txt"
        told = self._note_job("POST", f"/api/files/{file_id}/move", {"key": key})
        if told is not None and told.status == 200:
            self._files[file_id] = key

    def _copy(self, file_id: str) -> None:
        told = self._note_job("POST", f"/api/files/{file_id}/copy", {})
        if told is not None and told.status == 201:
            self._files[told.document["id"]] = told.document["key"]

    def _many(self) -> None:
        chosen = self._random.sample(sorted(self._files), min(4, len(self._files)))
        self._asker.ask("POST", f"/api/files/bulk-{self._random.choice(('delete', 'restore'))}", {"file_ids": chosen})

    def _delete_folder(self) -> None:
        if self._random.random() < 0.3:
            self._asker.ask("DELETE", f"/api/folders?prefix={self._user_id}/few/")

    def _cancel(self) -> None:
        if self._jobs:
            self._asker.ask("POST", f"/api/jobs/{self._random.choice(self._jobs)}/cancel")

    def _other(self, file_id: str) -> None:
        what = self._random.choice(("inspect", "complete", "upload"))
        self._asker.ask("POST", f"/api/files/{file_id}/{what}", {})

    def _put_directly(self, file_id: str) -> None:
        at = {"Bucket": self._bucket, "Key": self._files[file_id]}
        self._journal.note(asks="put_object", at=at)
        answer = self._s3.put_object(**at, Body=self._random.randbytes(60), ContentType="text/plain")
        self._journal.note(asked="put_object", at=at, version_id=answer.get("VersionId"), etag=answer["ETag"])

    def _delete_directly(self, file_id: str) -> None:
        """The current object, or one of its versions."""
        at = {"Bucket": self._bucket, "Key": self._files[file_id]}
        if self._random.random() < 0.5:
            versions = self._s3.list_object_versions(Bucket=self._bucket, Prefix=at["Key"])
            found = [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]
            if found:
                at["VersionId"] = self._random.choice(found)["VersionId"]
        self._journal.note(asks="delete_object", at=at)
        answer = self._s3.delete_object(**at)
        self._journal.note(asked="delete_object", at=at, version_id=answer.get("VersionId"))

    def _note_job(self, method: str, path: str, document: Any) -> Any:
        told = self._asker.ask(method, path, document)
        if told is not None and told.status in (200, 201, 202) and (told.document or {}).get("job"):
            self._jobs.append(told.document["job"]["id"])
        return told
