"""Topics on a Ceph cluster."""

from pathlib import Path
from uuid import uuid4

import pytest

from dev import ceph
from dev.configuration import Configuration
from dev.infra import client
from tests.support.lacking import ceph_variables
from tests.support.rgw import delete_topics


def test_no_topic_is_deleted_that_the_bucket_still_notifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ceph would refuse every put."""
    names = ceph_variables() | {"LANDFALL_STACK": "ceph", "LANDFALL_BUCKET": f"landfall-test-{uuid4().hex[:12]}"}
    configuration = Configuration.from_environment(names | {"LANDFALL_HOME": str(tmp_path)})
    s3 = client("s3", configuration.endpoint, configuration.access_key, configuration.secret_key)
    monkeypatch.setattr(ceph, "_unsubscribe", lambda *_: None)  # as if Ceph had refused it
    for _ in range(3):
        ceph.make_bucket(configuration, "http://127.0.0.1:9/secret")

    version_id = s3.put_object(Bucket=configuration.bucket, Key="key", Body=b"hello")["VersionId"]

    s3.delete_object(Bucket=configuration.bucket, Key="key", VersionId=version_id)
    s3.delete_bucket(Bucket=configuration.bucket)
    delete_topics(configuration)
