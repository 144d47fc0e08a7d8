"""Object Lock and a replica: nothing of either by default, no rights beyond what they need, and no contradictions."""

from collections.abc import Mapping

import pytest

from deploy.buckets import remove_bucket
from deploy.cloud import Cloud
from deploy.problem import DeployProblem
from deploy.replicas import require_apart
from tests.support.aws import empty_bucket, make_bucket
from tests.support.templates import Template, as_list, of_type, statements_of

_NOTHING = {"Ref": "AWS::NoValue"}
_REPLICA = "arn:aws:s3:::landfall-replica"


def test_nothing_is_locked_or_copied_unless_it_is_wanted(native: Template) -> None:
    parameters = native["Parameters"]
    assert (parameters["LockDays"]["Default"], parameters["ReplicaBucketArn"]["Default"]) == (0, "")
    bucket = native["Resources"]["FilesBucket"]["Properties"]
    assert bucket["ObjectLockEnabled"] == {"Fn::If": ["HasLock", True, _NOTHING]}
    condition, _, otherwise = bucket["ReplicationConfiguration"]["Fn::If"]
    assert (condition, otherwise) == ("HasReplica", _NOTHING)
    made = ("ReplicationRole", "ReplicatesFiles", "EncryptsReplica", "LocksFiles")
    assert [native["Resources"][name]["Condition"] for name in made] == [
        "HasReplica", "HasReplica", "HasReplicaKey", "HasLock",
    ]  # fmt: skip


def test_the_bucket_locks_nothing_by_itself(native: Template) -> None:
    """With a default retention, S3 would refuse uploads by links and forms, which bring no checksum."""
    assert "ObjectLockConfiguration" not in native["Resources"]["FilesBucket"]["Properties"]
    variables = native["Resources"]["Ingest"]["Properties"]["Environment"]["Variables"]
    assert (variables["LANDFALL_LOCK_DAYS"], variables["LANDFALL_LOCK_MODE"]) == (
        {"Ref": "LockDays"},
        {"Ref": "LockMode"},
    )


def test_who_inspects_files_locks_them_and_nobody_ends_a_lock(native: Template) -> None:
    locking = {
        name
        for name, role in of_type(native, "AWS::IAM::Role").items()
        if {"Fn::If": ["HasLock", {"Ref": "LocksFiles"}, _NOTHING]} in role["Properties"].get("ManagedPolicyArns", [])
    }
    inspecting = {
        name for name, statement in statements_of(native)
        if name.endswith("Role") and "s3:GetObjectVersion" in as_list(statement["Action"]) and name != "CredentialsRole"
    }  # fmt: skip
    assert locking == inspecting
    rights = {right for _, statement in statements_of(native) for right in as_list(statement["Action"])}
    assert not rights & {"s3:BypassGovernanceRetention", "s3:PutBucketObjectLockConfiguration"}
    (putting,) = [one for _, one in statements_of(native) if "s3:PutObjectRetention" in as_list(one["Action"])]
    most = {"NumericLessThanEquals": {"s3:object-lock-remaining-retention-days": {"Ref": "LockDays"}}}
    assert putting["Condition"] == most


def test_the_replica_gets_every_version_and_every_delete_marker(native: Template) -> None:
    _, replication, _ = native["Resources"]["FilesBucket"]["Properties"]["ReplicationConfiguration"]["Fn::If"]
    (rule,) = replication["Rules"]
    assert (rule["Status"], rule["Filter"]) == ("Enabled", {"Prefix": ""})
    assert rule["DeleteMarkerReplication"] == {"Status": "Enabled"}
    assert rule["Destination"]["Bucket"] == {"Ref": "ReplicaBucketArn"}
    key = {"ReplicaKmsKeyID": {"Ref": "ReplicaKmsKeyArn"}}
    assert rule["Destination"]["EncryptionConfiguration"] == {"Fn::If": ["HasReplicaKey", key, _NOTHING]}


def test_the_role_that_copies_reads_here_and_writes_there(native: Template) -> None:
    statements = [statement for name, statement in statements_of(native) if name == "ReplicatesFiles"]
    writing = [one for one in statements if "s3:ReplicateObject" in as_list(one["Action"])]
    assert [one["Resource"] for one in writing] == [{"Fn::Sub": "${ReplicaBucketArn}/*"}]
    reading = [one for one in statements if one not in writing]
    assert all("FilesBucket" in str(one["Resource"]) for one in reading)
    assert not [
        right for one in reading for right in as_list(one["Action"]) if not right.startswith(("s3:Get", "s3:List"))
    ]
    (trust,) = native["Resources"]["ReplicationRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "s3.amazonaws.com"}


# Parameters, and what the rules say of them.
_CHECKED = [
    ({"ReplicaBucketArn": _REPLICA, "KmsKeyArn": "key"}, "With KmsKeyArn, a replica needs ReplicaKmsKeyArn"),
    ({"ReplicaKmsKeyArn": "other", "KmsKeyArn": "key"}, "ReplicaBucketArn, which is empty"),
    ({"ReplicaKmsKeyArn": "other", "ReplicaBucketArn": _REPLICA}, "ReplicaKmsKeyArn needs KmsKeyArn"),
    ({"ReplicaKmsKeyArn": "other", "ReplicaBucketArn": _REPLICA, "KmsKeyArn": "key"}, ""),
    ({"ReplicaBucketArn": _REPLICA}, ""),
    ({}, ""),
]


@pytest.mark.parametrize(("given", "said"), _CHECKED)
def test_keys_and_replica_must_fit(native: Template, given: dict[str, str], said: str) -> None:
    names = ("KmsKeyArn", "ReplicaBucketArn", "ReplicaKmsKeyArn")
    values = {name: given.get(name, native["Parameters"][name]["Default"]) for name in names}
    broken = [
        assertion["AssertDescription"]
        for rule in native["Rules"].values()
        if _holds(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
        if not _holds(assertion["Assert"], values)
    ]
    assert len(broken) == (1 if said else 0)
    assert said in "".join(broken)


def _holds(condition: Mapping[str, list[Mapping[str, list[object]]]], values: Mapping[str, str]) -> bool:
    """What CloudFormation makes of a condition of a rule."""
    ((function, arguments),) = condition.items()
    if function == "Fn::Equals":
        sides = [values[str(side["Ref"])] if isinstance(side, dict) else side for side in arguments]
        return sides[0] == sides[1]
    answers = [_holds(argument, values) for argument in arguments]  # type: ignore[arg-type]
    return not answers[0] if function == "Fn::Not" else all(answers)


@pytest.mark.parametrize("recorded", [{"ExtraBuckets": "old,landfall-replica"}, {"BucketName": "landfall-replica"}])
def test_a_replica_is_not_in_the_catalogue_too(recorded: dict[str, str]) -> None:
    with pytest.raises(DeployProblem, match="in the catalogue twice"):
        require_apart({"ReplicaBucketArn": _REPLICA, **recorded})


def test_other_buckets_are_recorded_beside_a_replica() -> None:
    require_apart({"ReplicaBucketArn": _REPLICA, "ExtraBuckets": "old", "BucketName": "landfall"})
    require_apart({"ExtraBuckets": "", "BucketName": "", "ReplicaBucketArn": ""})
    require_apart({})


def test_a_bucket_with_locked_versions_stays_and_says_so(cloud: Cloud) -> None:
    s3 = cloud.client("s3")
    make_bucket(s3, "locked", versioned=True)
    s3.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"})
    for key in ("kept", "free"):
        s3.put_object(Bucket="locked", Key=key, Body=b"1")
    s3.put_object_legal_hold(Bucket="locked", Key="kept", LegalHold={"Status": "ON"})

    with pytest.raises(DeployProblem, match="1 versions in locked could not be deleted, and so the bucket stays"):
        remove_bucket(s3, "locked")
    assert [one["Key"] for one in s3.list_object_versions(Bucket="locked")["Versions"]] == ["kept"]

    s3.put_object_legal_hold(Bucket="locked", Key="kept", LegalHold={"Status": "OFF"})
    empty_bucket(s3, "locked")
    remove_bucket(s3, "locked")
    assert "locked" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
