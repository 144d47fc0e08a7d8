"""The replica of the bucket: what a template can't check of it."""

from collections.abc import Mapping

from deploy.problem import DeployProblem


def require_apart(parameters: Mapping[str, str]) -> None:
    """Make sure that the replica is not in the catalogue. Each file would be there twice.

    Raises:
        DeployProblem: it is the bucket itself, or one of `ExtraBuckets`.
    """
    replica = parameters.get("ReplicaBucketArn", "").rpartition(":")[2]
    recorded = [parameters.get("BucketName", ""), *parameters.get("ExtraBuckets", "").split(",")]
    if replica and replica in recorded:
        raise DeployProblem(
            f"{replica} is to be a replica, and is in BucketName or ExtraBuckets: its files would be in the catalogue twice. "
            "Nothing was changed."
        )
