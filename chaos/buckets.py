"""The buckets of a run: the application's own, which keeps versions, one that never has, and one that has stopped to."""

from typing import Any

from dev.infra import Deployed
from tests.support.aws import send_events, set_versioning

PLAIN, SUSPENDED = "chaos-plain", "chaos-suspended"
EXTRA = (PLAIN, SUSPENDED)


def make(s3: Any) -> None:
    """Make the further buckets. One gets some versions before it stops keeping them."""
    for bucket in EXTRA:
        s3.create_bucket(Bucket=bucket)
    set_versioning(s3, SUSPENDED, "Enabled")


def configure(s3: Any, deployed: Deployed, *, is_suspended: bool = True) -> None:
    """Have the further buckets tell of everything, and one keep no versions any more. A killed emulator has forgotten both."""
    for bucket in EXTRA:
        send_events(s3, bucket, deployed.queue_arn)
    set_versioning(s3, SUSPENDED, "Suspended" if is_suspended else "Enabled")
