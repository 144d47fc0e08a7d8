"""What is on the wire: TLS, links that end, and where functions may connect to at all."""

from typing import Any

import pytest

from deploy.cloud import Cloud
from deploy.networks import s3_prefix_list
from tests.support.templates import Template, bucket_statement, of_type


@pytest.mark.parametrize("policy", ["FilesBucketPolicy", "KeysBucketPolicy", "BellBucketPolicy"])
def test_buckets_refuse_old_tls(native: Template, policy: str) -> None:
    denied = bucket_statement(native, "OnlyOverTls12", policy)
    assert (denied["Effect"], denied["Principal"], denied["Action"]) == ("Deny", "*", "s3:*")
    assert denied["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
    assert len(denied["Resource"]) == 2


def test_the_bucket_refuses_links_that_are_older_than_landfalls_may_be(native: Template) -> None:
    denied = bucket_statement(native, "LinksOnlyForAWhile")
    assert denied["Effect"] == "Deny"
    assert denied["Condition"] == {
        "StringEquals": {"s3:authType": ["REST-QUERY-STRING", "POST"]},
        "NumericGreaterThan": {"s3:signatureAge": {"Fn::Sub": "${LinkSeconds}000"}},
    }
    for name, function in of_type(native, "AWS::Lambda::Function").items():
        assert function["Properties"]["Environment"]["Variables"]["LANDFALL_LINK_SECONDS"] == {"Ref": "LinkSeconds"}, (
            name
        )
    # From the top of it the sum of seconds and milliseconds is still the number that IAM compares.
    limits = native["Parameters"]["LinkSeconds"]
    assert (limits["Type"], limits["MaxValue"]) == ("Number", 604_800)


def _egress(template: Template, group: str) -> list[dict[str, Any]]:
    """Every rule by which a security group lets something out."""
    inline = template["Resources"][group]["Properties"]["SecurityGroupEgress"]
    alone = of_type(template, "AWS::EC2::SecurityGroupEgress").values()
    of_group = {"Fn::GetAtt": [group, "GroupId"]}
    return [*inline, *(item["Properties"] for item in alone if item["Properties"]["GroupId"] == of_group)]


def test_functions_reach_s3_the_database_and_sts_if_it_is_there(native: Template) -> None:
    s3, *others = _egress(native, "FunctionsGroup")
    known, listed, unknown = s3["Fn::If"]
    assert (known, listed["DestinationPrefixListId"], listed["FromPort"]) == ("KnowsS3", {"Ref": "S3PrefixListId"}, 443)
    assert (unknown["CidrIp"], unknown["FromPort"], unknown["ToPort"]) == ("0.0.0.0/0", 443, 443)
    ports = {rule["DestinationSecurityGroupId"]["Fn::GetAtt"][0]: (rule["FromPort"], rule["ToPort"]) for rule in others}
    assert ports == {"DatabaseGroup": (5432, 5432), "ProxyGroup": (5432, 5432), "StsGroup": (443, 443)}


@pytest.mark.parametrize(("group", "reached"), [("ProxyGroup", ["DatabaseGroup"]), ("DatabaseGroup", [])])
def test_database_and_proxy_reach_no_address(native: Template, group: str, reached: list[str]) -> None:
    nowhere, *others = _egress(native, group)
    assert nowhere["CidrIp"] == "127.0.0.1/32"
    assert [rule["DestinationSecurityGroupId"]["Fn::GetAtt"][0] for rule in others] == reached


def test_a_deployment_looks_up_the_prefix_list_of_s3(cloud: Cloud) -> None:
    assert s3_prefix_list(cloud).startswith("pl-")
    assert s3_prefix_list(Cloud(cloud.account, cloud.region, "http://127.0.0.1:9")) == ""


def test_the_page_has_headers_of_its_own_and_tls_by_its_own_certificate(native: Template) -> None:
    config = native["Resources"]["Site"]["Properties"]["DistributionConfig"]
    condition, own, otherwise = config["ViewerCertificate"]["Fn::If"]
    assert (condition, own["MinimumProtocolVersion"]) == ("HasSiteDomain", "TLSv1.2_2021")
    assert otherwise == {"CloudFrontDefaultCertificate": True}
    assert config["DefaultCacheBehavior"]["ResponseHeadersPolicyId"] == {"Ref": "SiteHeaders"}
    assert all(behavior["ResponseHeadersPolicyId"] for behavior in config["CacheBehaviors"])

    headers = native["Resources"]["SiteHeaders"]["Properties"]["ResponseHeadersPolicyConfig"]["SecurityHeadersConfig"]
    assert headers["StrictTransportSecurity"]["AccessControlMaxAgeSec"] >= 31_536_000
    policy = headers["ContentSecurityPolicy"]["ContentSecurityPolicy"]["Fn::Sub"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "*" not in policy
