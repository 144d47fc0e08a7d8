"""What is encrypted with whose key."""

import pytest

from tests.support.templates import Template, as_list, of_type

_NOTHING = {"Ref": "AWS::NoValue"}
_KEY = {"Fn::If": ["HasKmsKey", {"Ref": "KmsKeyArn"}, _NOTHING]}


def test_files_are_encrypted_with_the_given_key(native: Template) -> None:
    (rule,) = native["Resources"]["FilesBucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    condition, given, otherwise = rule["ServerSideEncryptionByDefault"]["Fn::If"]
    assert condition == "HasKmsKey"
    assert given == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": {"Ref": "KmsKeyArn"}}
    assert otherwise == {"SSEAlgorithm": "AES256"}
    assert rule["BucketKeyEnabled"] == {"Fn::If": ["HasKmsKey", True, _NOTHING]}


@pytest.mark.parametrize("queue", ["EventsQueue", "DeadEventsQueue"])
def test_events_are_encrypted_with_the_given_key_or_sqs_own(native: Template, queue: str) -> None:
    properties = native["Resources"][queue]["Properties"]
    assert properties["KmsMasterKeyId"] == _KEY
    assert properties["SqsManagedSseEnabled"] == {"Fn::If": ["HasKmsKey", False, True]}


def test_every_log_is_encrypted_with_the_given_key(native: Template) -> None:
    groups = of_type(native, "AWS::Logs::LogGroup")
    assert len(groups) > 10
    assert [name for name, group in groups.items() if group["Properties"]["KmsKeyId"] != _KEY] == []


def test_who_may_use_the_key_may_so_through_services_only(native: Template) -> None:
    (statement,) = native["Resources"]["UsesKey"]["Properties"]["PolicyDocument"]["Statement"]
    assert statement["Resource"] == {"Ref": "KmsKeyArn"}
    via = statement["Condition"]["StringEquals"]["kms:ViaService"]
    assert [service["Fn::Sub"].partition(".")[0] for service in via] == ["s3", "sqs", "secretsmanager"]

    # Whoever reads files or logs in to the database needs it. Callers' own credentials have session policies, which name no key.
    needing = set()
    for name, role in of_type(native, "AWS::IAM::Role").items():
        for policy in role["Properties"].get("Policies", []):
            for one in policy["PolicyDocument"]["Statement"]:
                if "FilesBucket" in str(one["Resource"]) and "s3:GetObject" in as_list(one["Action"]):
                    needing.add(name)
    using = {
        name
        for name, role in of_type(native, "AWS::IAM::Role").items()
        if {"Fn::If": ["HasKmsKey", {"Ref": "UsesKey"}, _NOTHING]} in role["Properties"].get("ManagedPolicyArns", [])
    }
    assert using == needing - {"CredentialsRole"} | {"MaintainRole", "MigrateRole"}


def test_the_database_has_a_key_of_its_own(native: Template) -> None:
    cluster = native["Resources"]["DatabaseCluster"]["Properties"]
    assert cluster["KmsKeyId"] == {"Fn::If": ["HasDatabaseKey", {"Ref": "DatabaseKmsKeyArn"}, _NOTHING]}
    assert cluster["MasterUserSecret"]["Fn::If"][:2] == ["HasDatabaseKey", {"KmsKeyId": {"Ref": "DatabaseKmsKeyArn"}}]
