"""One role signs, and others remove: what the template, and the policies of `chalice deploy`, let each of them do to objects."""

import json

import pytest

from deploy.template import PROJECT
from tests.support.iam import allows
from tests.support.roles import arn, policy_of

_FILES = [arn("FilesBucket", "a/b.txt"), arn("extra-one", "c"), arn("extra-two", "d")]


@pytest.mark.parametrize("resource", _FILES)
def test_who_answers_requests_removes_no_version(resource: str) -> None:
    policy = policy_of("ApiHandlerRole")
    assert allows(policy, "s3:PutObject", resource)
    assert not allows(policy, "s3:DeleteObjectVersion", resource)


@pytest.mark.parametrize("role", ["WorkRole", "RunJobsRole"])
@pytest.mark.parametrize("resource", _FILES)
def test_who_does_jobs_removes_versions(role: str, resource: str) -> None:
    assert allows(policy_of(role), "s3:DeleteObjectVersion", resource)


@pytest.mark.parametrize("action", ["s3:PutBucketVersioning", "s3:PutLifecycleConfiguration", "s3:PutBucketPolicy"])
@pytest.mark.parametrize("role", ["ApiHandlerRole", "WorkRole", "RunJobsRole"])
def test_nobody_turns_off_what_keeps_versions(role: str, action: str) -> None:
    assert not allows(policy_of(role), action, arn("FilesBucket"))


def test_who_answers_requests_rings_and_does_nothing_else_to_bells() -> None:
    policy, bell = policy_of("ApiHandlerRole"), arn("BellBucket", "jobs/1")
    allowed = [f"s3:{action}" for action in ("PutObject", "GetObject", "DeleteObject", "DeleteObjectVersion")]
    assert [action for action in allowed if allows(policy, action, bell)] == ["s3:PutObject"]
    assert not allows(policy, "s3:PutObject", arn("BellBucket", "other"))
    assert not allows(policy_of("RunJobsRole"), "s3:PutObject", bell)


def test_chalice_deploy_gives_the_same_right_to_the_same_functions() -> None:
    policies = {path.stem: json.loads(path.read_text()) for path in (PROJECT / ".chalice" / "policies").glob("*.json")}
    removing = {
        name
        for name, policy in policies.items()
        if any("s3:DeleteObjectVersion" in statement["Action"] for statement in policy["Statement"])
    }
    assert removing == {"work", "run_jobs"}
