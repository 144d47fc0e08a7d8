"""What a stage ran before: a list in the bucket of the packages, where each release still lies under its hash.

CloudFormation keeps no earlier template, so what to go back to is noted here once a release is in place.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from deploy.artifacts import Artifacts, ensure_bucket
from deploy.cloud import Cloud

_KEPT = 100


@dataclass(frozen=True)
class Release:
    """A template that a stage ran.

    Attributes:
        template_url: where it lies; its name is its hash.
        revision: the schema's, that its code was written for.
        deployed_at: ISO 8601, UTC.
        is_rollback: whether the stage went back to it.
    """

    template_url: str
    revision: str
    deployed_at: str
    is_rollback: bool = False

    @property
    def id(self) -> str:
        """The beginning of the template's hash."""
        return PurePosixPath(urlsplit(self.template_url).path).stem[:12]


class Releases:
    """The releases of one stack, the oldest first."""

    def __init__(self, cloud: Cloud, stack: str) -> None:
        self._cloud, self._s3 = cloud, cloud.client("s3")
        self._key = f"landfall/releases/{stack}.json"

    def all(self) -> list[Release]:
        """Each time that a release was put in place."""
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=self._key, ExpectedBucketOwner=self._cloud.account)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
                raise
            return []
        return [Release(**entry) for entry in json.load(answer["Body"])]

    def note(self, template_url: str, revision: str, *, is_rollback: bool = False) -> None:
        """Note what is in place now; once, if it was noted already."""
        known = self.all()
        if known and known[-1].template_url == template_url:
            return
        known.append(Release(template_url, revision, datetime.now(UTC).isoformat(timespec="seconds"), is_rollback))
        self._s3.put_object(
            Bucket=self._bucket,
            Key=self._key,
            Body=json.dumps([asdict(release) for release in known[-_KEPT:]]),
            ExpectedBucketOwner=self._cloud.account,
        )

    def artifacts(self, release: Release) -> Artifacts:
        """What a release is made of."""
        key = urlsplit(release.template_url).path.partition(f"{self._bucket}/")[2]
        answer = self._s3.get_object(Bucket=self._bucket, Key=key, ExpectedBucketOwner=self._cloud.account)
        template: dict[str, Any] = json.load(answer["Body"])
        return Artifacts.of(template, release.template_url)

    @property
    def _bucket(self) -> str:
        return ensure_bucket(self._cloud)


def before(history: list[Release]) -> Release | None:
    """The release that the one in place has followed; None if that isn't known.

    Whoever goes back twice gets to the one before that, and not forward again to what was left.

    >>> a, b, c = (Release(name, "1", "") for name in "abc")
    >>> before([a, b, Release("a", "1", "", True), c]).template_url
    'a'
    """
    path: list[Release] = []
    for release in history:
        if release.is_rollback:
            while path and path[-1].template_url != release.template_url:
                path.pop()
        else:
            path.append(release)
    return path[-2] if len(path) > 1 else None
