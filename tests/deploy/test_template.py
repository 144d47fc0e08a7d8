"""The template as a whole: lint, least privilege, nothing public, nothing lost by accident."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from deploy import template as templates
from deploy.template import PROJECT
from tests.support.templates import Template, as_list, of_type, statements_of

# Actions that AWS checks against no resource, or that concern none which is there yet, by the "Service Authorization
# Reference". Only with these may a statement say "*".
_WITHOUT_RESOURCE = {
    "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
    "xray:PutTraceSegments", "xray:PutTelemetryRecords",
}  # fmt: skip
_STATEFUL = {
    "AWS::S3::Bucket": ("Retain", "RetainExceptOnCreate"),
    "AWS::RDS::DBCluster": ("Snapshot", "Retain"),
}


@pytest.mark.parametrize("which", ["sam", "native"])
def test_cfn_lint_finds_nothing(
    which: str, request: pytest.FixtureRequest, template_python: Path, tmp_path: Path
) -> None:
    path = tmp_path / f"{which}.json"
    path.write_text(json.dumps(request.getfixturevalue(which)))
    # W1033: subnets are split also where their default, nothing, isn't used. W2530: SAM isn't asked to publish versions.
    lint = [str(template_python.with_name("cfn-lint")), "--ignore-checks", "W1033", "W2530", "--template", str(path)]

    result = subprocess.run(lint, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


def test_no_policy_allows_more_resources_than_needed(native: Template) -> None:
    found = list(statements_of(native))
    assert len(found) > 15
    for name, statement in found:
        for action in as_list(statement["Action"]):
            assert "*" not in action, (name, action)
            if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
                assert action in _WITHOUT_RESOURCE, (name, action)
        for resource in as_list(statement["Resource"]):
            text = resource if isinstance(resource, str) else json.dumps(resource)
            assert not re.fullmatch(r"arn:[^:]*:[a-z0-9]+:\*.*", text), (name, text)


def test_each_function_has_a_role_that_nobody_else_may_assume(native: Template) -> None:
    functions = of_type(native, "AWS::Lambda::Function")
    roles = {name: item["Properties"]["Role"]["Fn::GetAtt"][0] for name, item in functions.items()}

    assert len(functions) == 11
    assert len(set(roles.values())) == 11

    for role in roles.values():
        document = native["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]
        assert [statement["Principal"] for statement in document["Statement"]] == [{"Service": "lambda.amazonaws.com"}]


def test_only_the_functions_that_need_it_may_change_files_or_the_schema(native: Template) -> None:
    may: dict[str, set[str]] = {}
    for name, statement in statements_of(native):
        may.setdefault(name, set()).update(as_list(statement["Action"]))

    deleting = {name for name, actions in may.items() if "s3:DeleteObject" in actions}
    assert deleting == {"ApiHandlerRole", "RunJobsRole", "WorkRole", "KeepsExtraBuckets"}
    keepers = {
        name for name, item in of_type(native, "AWS::IAM::Role").items()
        if "KeepsExtraBuckets" in json.dumps(item["Properties"].get("ManagedPolicyArns", []))
    }  # fmt: skip
    assert keepers == {"ApiHandlerRole", "RunJobsRole", "WorkRole"}
    # Each of these heals a key where it sees that an event was lost.
    healing = {"s3:GetObjectVersion", "s3:ListBucket", "s3:ListBucketVersions"}
    roles = {
        "ApiHandlerRole",
        "AuditRole",
        "BuryRole",
        "IngestRole",
        "IngestDirectRole",
        "InspectPendingRole",
        "RunJobsRole",
        "WorkRole",
    }
    assert {name for name, actions in may.items() if healing <= actions} == roles | {
        "KeepsExtraBuckets",
        "ReadsExtraBuckets",
    }

    owner = {
        name for name, item in of_type(native, "AWS::IAM::Role").items()
        if "OwnerLogin" in json.dumps(item["Properties"].get("ManagedPolicyArns", []))
    }  # fmt: skip
    assert owner == {"MaintainRole", "MigrateRole"}


def test_only_the_function_that_fetches_keys_writes_them_and_it_can_leave(native: Template) -> None:
    writing = {
        name for name, statement in statements_of(native)
        if "s3:PutObject" in as_list(statement["Action"]) and "KeysBucket" in json.dumps(statement["Resource"])
    }  # fmt: skip
    assert writing == {"FetchKeysRole"}
    [guard] = [
        statement for statement in native["Resources"]["KeysBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
        if statement["Sid"] == "OnlyOneFunctionWrites"
    ]  # fmt: skip
    assert (guard["Effect"], guard["Principal"]) == ("Deny", "*")
    assert guard["Condition"]["ArnNotEquals"]["aws:PrincipalArn"] == {"Fn::GetAtt": ["FetchKeysRole", "Arn"]}

    fetching = native["Resources"]["FetchKeys"]["Properties"]
    assert fetching.get("VpcConfig") in (None, {"Ref": "AWS::NoValue"})
    assert "VpcConfig" in native["Resources"]["APIHandler"]["Properties"]
    # Outside the VPC, it is told no password.
    assert "unreachable" in json.dumps(fetching["Environment"]["Variables"]["LANDFALL_DATABASE_URL"])


def test_requests_to_s3_that_a_role_allows_pass_the_endpoint(native: Template) -> None:
    [passing] = native["Resources"]["S3Endpoint"]["Properties"]["PolicyDocument"]["Statement"]

    asked = {
        action
        for name, statement in statements_of(native)
        for action in as_list(statement["Action"])
        if (name.endswith("Role") or name == "LocksFiles") and action.startswith("s3:")
    }
    assert {"s3:AbortMultipartUpload", "s3:GetObjectTagging", "s3:ListBucketVersions"} <= asked
    assert set(passing["Action"]) == asked


def test_nothing_is_public(native: Template) -> None:
    for name, bucket in of_type(native, "AWS::S3::Bucket").items():
        blocked = bucket["Properties"]["PublicAccessBlockConfiguration"]
        assert len(blocked) == 4, name
        assert all(blocked.values()), name
        assert bucket["Properties"]["BucketEncryption"], name
        assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}, name

    denied = {
        json.dumps(policy["Properties"]["Bucket"])
        for policy in of_type(native, "AWS::S3::BucketPolicy").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny" and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert denied == {json.dumps({"Ref": name}) for name in of_type(native, "AWS::S3::Bucket")}
    for kind in ("AWS::S3::BucketPolicy", "AWS::SQS::QueuePolicy"):
        for name, policy in of_type(native, kind).items():
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Deny" or statement["Principal"] != "*", name
                assert statement["Effect"] == "Deny" or statement["Condition"], name
    assert all(
        not item["Properties"]["PubliclyAccessible"] for item in of_type(native, "AWS::RDS::DBInstance").values()
    )
    for name, group in of_type(native, "AWS::EC2::SecurityGroup").items():
        for rule in group["Properties"].get("SecurityGroupIngress", []):
            assert "CidrIp" not in json.dumps(rule), name


def test_resources_that_hold_data_outlive_their_stack(native: Template) -> None:
    for kind, policies in _STATEFUL.items():
        for name, item in of_type(native, kind).items():
            assert item["DeletionPolicy"] in policies, name
            assert item["UpdateReplacePolicy"] in policies, name

    cluster = native["Resources"]["DatabaseCluster"]["Properties"]
    assert cluster["StorageEncrypted"]
    assert cluster["EnableIAMDatabaseAuthentication"]
    assert native["Parameters"]["DatabaseDeletionProtection"]["Default"] == "true"


def test_no_avoidable_resource_costs_by_the_hour(native: Template) -> None:
    assert not of_type(native, "AWS::EC2::NatGateway")
    endpoints = of_type(native, "AWS::EC2::VPCEndpoint")
    hourly = {name for name, item in endpoints.items() if item["Properties"]["VpcEndpointType"] != "Gateway"}
    assert hourly == {"StsEndpoint"}
    assert endpoints["StsEndpoint"]["Condition"] == "HasStsEndpoint"
    assert native["Parameters"]["S3Credentials"]["Default"] == "false"
    assert {item["Condition"] for item in of_type(native, "AWS::RDS::DBProxy").values()} == {"UseProxy"}
    assert native["Parameters"]["WithProxy"]["Default"] == "false"


def test_a_given_database_needs_no_other_and_no_network(native: Template) -> None:
    for name, item in native["Resources"].items():
        if item["Type"].startswith(("AWS::RDS::", "AWS::EC2::")):
            assert item["Condition"] in ("OwnDatabase", "HasReader", "UseProxy", "HasStsEndpoint"), name
    for condition in ("HasReader", "UseProxy", "HasStsEndpoint"):
        assert {"Condition": "OwnDatabase"} in native["Conditions"][condition]["Fn::And"]


def test_the_event_source_reports_single_failures_and_is_capped(native: Template) -> None:
    sources = of_type(native, "AWS::Lambda::EventSourceMapping")
    (source,) = [one for name, one in sources.items() if name.startswith("Ingest")]
    (dead,) = [one for name, one in sources.items() if name.startswith("Bury")]
    assert dead["Properties"]["EventSourceArn"] == {"Fn::Sub": "${DeadEventsQueue.Arn}"}
    assert dead["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["Properties"]["EventSourceArn"] == {"Fn::Sub": "${EventsQueue.Arn}"}
    assert source["Properties"]["MaximumBatchingWindowInSeconds"] == 1
    assert source["Properties"]["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "IngestConcurrency"}}

    (rung,) = [one for name, one in sources.items() if name.startswith("RunJobs")]
    assert rung["Properties"]["EventSourceArn"] == {"Fn::Sub": "${JobsQueue.Arn}"}
    assert rung["Properties"]["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "JobConcurrency"}}
    bells = native["Resources"]["JobsQueue"]["Properties"]
    assert bells["VisibilityTimeout"] >= native["Resources"]["RunJobs"]["Properties"]["Timeout"]

    queue, ingest = native["Resources"]["EventsQueue"], native["Resources"]["Ingest"]
    assert native["Parameters"]["VisibilitySeconds"]["Default"] >= 6 * ingest["Properties"]["Timeout"]
    assert queue["Properties"]["RedrivePolicy"]["maxReceiveCount"] == 5


def test_answers_of_the_gateway_itself_are_problems_that_pages_can_read(native: Template) -> None:
    body = native["Resources"]["RestAPI"]["Properties"]["Body"]

    responses = body["x-amazon-apigateway-gateway-responses"]
    assert responses["MISSING_AUTHENTICATION_TOKEN"]["statusCode"] == "404"

    for name, response in responses.items():
        parameters = response["responseParameters"]
        assert parameters["gatewayresponse.header.Access-Control-Allow-Origin"] == "'*'", name
        assert parameters["gatewayresponse.header.Content-Type"] == "'application/problem+json'", name

        written = response["responseTemplates"]["application/json"].replace("$context.error.messageString", '"x"')
        filled = re.sub(r"\$context\.[A-Za-z.]+", "1", written)

        problem = json.loads(filled)
        assert set(problem) == {"type", "title", "status", "detail", "instance", "request_id", "errors"}, name


def test_functions_log_to_groups_that_forget(native: Template) -> None:
    groups = of_type(native, "AWS::Logs::LogGroup")
    for name, item in of_type(native, "AWS::Lambda::Function").items():
        assert item["Properties"]["LoggingConfig"]["LogGroup"]["Ref"] in groups, name
    assert all(item["Properties"]["RetentionInDays"] == {"Ref": "LogDays"} for item in groups.values())


def test_every_alarm_has_a_receiver_and_names_an_existing_runbook(native: Template) -> None:
    operations = (PROJECT / "docs" / "operations.md").read_text()

    alarms = of_type(native, "AWS::CloudWatch::Alarm")
    assert len(alarms) >= 10

    for name, item in alarms.items():
        assert item["Properties"]["AlarmActions"] == [{"Ref": "Alarms"}], name
        runbook = item["Properties"]["AlarmDescription"].rpartition("Runbook: ")[2]
        assert f"\n### {runbook[0].upper()}{runbook[1:]}\n" in operations, runbook


def test_every_parameter_has_a_default_and_stages_set_only_existing_ones(native: Template) -> None:
    parameters = native["Parameters"]
    assert [name for name, item in parameters.items() if "Default" not in item or "Description" not in item] == []

    stages = set(json.loads((PROJECT / ".chalice" / "config.json").read_text())["stages"])
    assert stages == {"local", "dev", "prod"}

    for stage in ("dev", "prod"):
        given = json.loads((PROJECT / "infra" / "parameters" / f"{stage}.json").read_text())
        assert set(given) <= set(parameters), stage


def test_policies_for_chalice_deploy_allow_what_the_templates_roles_do(native: Template) -> None:
    """`chalice deploy` knows no stack to name resources of, so its policies name patterns; the actions are the same."""
    for path in sorted((PROJECT / ".chalice" / "policies").glob("*.json")):
        role = f"{path.stem.title().replace('_', '')}Role"
        allowed = {action for statement in json.loads(path.read_text())["Statement"] for action in statement["Action"]}
        wanted = {
            action
            for name, statement in statements_of(native)
            if name == role
            for action in as_list(statement["Action"])
        }
        # Logging in, giving credentials and locking are managed policies of their own. The template gives invocations that nobody
        # waits for a queue to fail into, has X-Ray, and makes the log groups itself.
        extra = {"sqs:SendMessage", "xray:PutTraceSegments", "xray:PutTelemetryRecords"}
        managed = {
            "rds-db:connect",
            "sts:AssumeRole",
            "s3:GetObjectRetention",
            "s3:GetObjectLegalHold",
            "s3:PutObjectRetention",
        }
        assert allowed - managed - {"logs:CreateLogGroup"} == wanted - extra, path.name


def test_two_files_may_not_define_the_same_resource(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "PARTS", ("resources", "resources"))
    with pytest.raises(ValueError, match="defined twice"):
        templates.merged()
