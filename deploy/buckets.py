"""Removing a bucket with all that it holds."""

from typing import Any

from deploy.problem import DeployProblem


def remove_bucket(s3: Any, bucket: str) -> None:
    """Delete every version of every object, what was begun to be uploaded, and the bucket.

    Raises:
        DeployProblem: some versions can't be deleted; the bucket stays, with them in it.
    """
    left = 0
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        versions = [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
        names = [{"Key": version["Key"], "VersionId": version["VersionId"]} for version in versions]
        if names:
            answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
            left += len(answer.get("Errors", []))
    for page in s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket):
        for part in page.get("Uploads", []):
            s3.abort_multipart_upload(Bucket=bucket, Key=part["Key"], UploadId=part["UploadId"])
    if left:
        raise DeployProblem(
            f"{left} versions in {bucket} could not be deleted, and so the bucket stays. Object Lock keeps a version until its "
            "time is over: then empty and delete the bucket in the S3 console. All else of the stage is deleted."
        )
    s3.delete_bucket(Bucket=bucket)
