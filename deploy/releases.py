"""What a stage ran before: a list in the bucket of the packages, where each release still lies under its hash.

CloudFormation keeps no earlier template, so each release is noted here, to go back to.
"""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from deploy.artifacts import Artifacts, bucket_name
from deploy.cloud import Cloud

_KEPT = 100


@dataclass(frozen=True)
class Release:
    """A template that a stack was to run, from then on.

    Attributes:
        stack_id: CloudFormation's id; another stack of the same name has another one.
        template_url: where it lies; its name is its hash.
        revision: the schema's revision that its code was written for.
        deployed_at: ISO 8601, UTC.
        is_rollback: whether the stage went back to it.
    """

    stack_id: str
    template_url: str
    revision: str
    deployed_at: str
    is_rollback: bool = False

    @property
    def id(self) -> str:
        """The beginning of the template's hash."""
        return PurePosixPath(urlsplit(self.template_url).path).stem[:12]


class Releases:
    """The releases of one stack, the oldest first.

    A release is noted before CloudFormation is told to put it in place, and forgotten if that fails. So it is known
    even if the command is interrupted in between.
    """

    def __init__(self, cloud: Cloud, stack: str, stack_id: str) -> None:
        self._cloud, self._s3, self._stack_id = cloud, cloud.client("s3"), stack_id
        self._where = {
            "Bucket": bucket_name(cloud),
            "Key": f"landfall/releases/{stack}.json",
            "ExpectedBucketOwner": cloud.account,
        }

    def all(self) -> list[Release]:
        """Each time that a release was put in place."""
        try:
            answer = self._s3.get_object(**self._where)
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("NoSuchKey", "NoSuchBucket", "404"):
                raise
            return []
        known = [Release(**entry) for entry in json.load(answer["Body"])]
        return [release for release in known if release.stack_id == self._stack_id]

    def note(self, template_url: str, revision: str, *, is_rollback: bool = False) -> None:
        """Note what is in place from now on; once, if it was noted already."""
        known = self.all()
        if known and known[-1].template_url == template_url:
            return
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._write([*known, Release(self._stack_id, template_url, revision, now, is_rollback)])

    def forget(self, template_url: str) -> None:
        """Forget a release that was noted last, because it was not put in place after all."""
        known = self.all()
        if known and known[-1].template_url == template_url:
            self._write(known[:-1])

    def artifacts(self, release: Release) -> Artifacts:
        """What a release is made of."""
        key = urlsplit(release.template_url).path.partition(f"{self._where['Bucket']}/")[2]
        answer = self._s3.get_object(**self._where | {"Key": key})
        template: dict[str, Any] = json.load(answer["Body"])
        return Artifacts.of(template, release.template_url)

    def _write(self, releases: list[Release]) -> None:
        self._s3.put_object(**self._where, Body=json.dumps([asdict(release) for release in releases[-_KEPT:]]))


def before(history: list[Release]) -> Release | None:
    """The release before the one in place; None if that isn't known.

    Going back twice leads to the release before that, and not forward again to the one that was left.

    >>> a, b, c = (Release("", name, "1", "") for name in "abc")
    >>> before([a, b, Release("", "a", "1", "", True), c]).template_url
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
