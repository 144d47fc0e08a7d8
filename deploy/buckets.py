"""Removing a bucket with all that it holds."""

from typing import Any


def remove_bucket(s3: Any, bucket: str) -> None:
    """Delete every version of every object, what was begun to be uploaded, and the bucket."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        names = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
        if names:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for part in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=part["Key"], UploadId=part["UploadId"])
    s3.delete_bucket(Bucket=bucket)
