"""What a server asks of S3, and which rights that takes, so that tests can hold it against the policy of its role.

`chalice_local` has a server note its calls; see `note_calls`.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_VARIABLE = "LANDFALL_TEST_S3_CALLS"
# By the "Service Authorization Reference" for S3: what a request to a bucket, or to an object, needs. The second is for versions.
_OF_BUCKET = {
    "HeadBucket": "s3:ListBucket",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
}
_OF_OBJECT = {
    "GetObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "HeadObject": ("s3:GetObject", "s3:GetObjectVersion"),
    "GetObjectTagging": ("s3:GetObjectTagging", "s3:GetObjectVersionTagging"),
    "DeleteObject": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "PutObject": ("s3:PutObject", ""),
    "CreateMultipartUpload": ("s3:PutObject", ""),
    "UploadPart": ("s3:PutObject", ""),
    "CompleteMultipartUpload": ("s3:PutObject", ""),
    "CopyObject": ("s3:PutObject", ""),
    "UploadPartCopy": ("s3:PutObject", ""),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload", ""),
    "ListParts": ("s3:ListMultipartUploadParts", ""),
}
# A store that is not AWS is tried in buckets of this name, with everything that a bucket can be asked.
_PROBED = "landfall-probe"


def noting(path: Path) -> dict[str, str]:
    """The environment in which a server notes its calls in a file."""
    return {_VARIABLE: str(path)}


def note_calls() -> None:
    """Have this process note what it asks of S3, if it is told to."""
    path = os.environ.get(_VARIABLE)
    if path is None:
        return
    from botocore.client import BaseClient

    ask = BaseClient._make_api_call

    def asking(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        of_s3 = client.meta.service_model.service_name == "s3"
        if of_s3 and not parameters.get("Bucket", _PROBED).startswith(_PROBED):
            with Path(path).open("a") as lines:
                lines.writelines(json.dumps(right) + "\n" for right in rights(operation, parameters))
        return ask(client, operation, parameters)

    BaseClient._make_api_call = asking  # type: ignore[method-assign]


def read_calls(path: Path) -> set[tuple[str, str, str]]:
    """The rights that a server needed: action, what kind of bucket, and key ("" for a bucket's own)."""
    return {tuple(json.loads(line)) for line in path.read_text().splitlines()} if path.exists() else set()


def rights(operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """The rights that a request takes, as `read_calls` says them."""
    bucket = _kind(parameters["Bucket"])
    if operation == "DeleteObjects":
        for item in parameters["Delete"]["Objects"]:
            yield _OF_OBJECT["DeleteObject"]["VersionId" in item], bucket, item["Key"]
        return
    if operation in _OF_BUCKET:
        yield _OF_BUCKET[operation], bucket, ""
        return
    yield _OF_OBJECT[operation]["VersionId" in parameters], bucket, parameters["Key"]
    if source := parameters.get("CopySource"):
        yield _OF_OBJECT["GetObject"]["VersionId" in source], _kind(source["Bucket"]), source["Key"]
    if operation == "CopyObject" and source:
        yield _OF_OBJECT["GetObjectTagging"]["VersionId" in source], _kind(source["Bucket"]), source["Key"]
        yield "s3:PutObjectTagging", bucket, parameters["Key"]


def _kind(bucket: str) -> str:
    """The resource of the template that a bucket stands for; every bucket of files for the one."""
    of = {os.environ.get("LANDFALL_KEYS_BUCKET"): "KeysBucket", os.environ.get("LANDFALL_BELL_BUCKET"): "BellBucket"}
    return of.get(bucket, "FilesBucket")
