"""The role for callers' own credentials: who may have it, and that it may do all that session policies name, and no more."""

import json
from typing import Any

from chalicelib.catalog.session_policies import Access, session_policy

Template = dict[str, Any]


def _allowed(role: dict[str, Any]) -> set[str]:
    [policy] = role["Properties"]["Policies"]
    actions = [statement["Action"] for statement in policy["PolicyDocument"]["Statement"]]
    return {action for listed in actions for action in (listed if isinstance(listed, list) else [listed])}


def test_only_the_apis_role_may_assume_it(native: Template) -> None:
    role = native["Resources"]["CredentialsRole"]
    [trusted] = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    api = {"AWS": {"Fn::GetAtt": ["ApiHandlerRole", "Arn"]}}
    assert trusted == {"Effect": "Allow", "Principal": api, "Action": "sts:AssumeRole"}

    may = [
        (name, statement)
        for name, item in native["Resources"].items()
        if item["Type"] in ("AWS::IAM::Role", "AWS::IAM::ManagedPolicy")
        for document in _documents(item)
        for statement in document["Statement"]
        if "sts:AssumeRole" in statement["Action"]
    ]
    [(name, statement)] = may
    assert (name, statement["Resource"]) == ("AssumesCredentialsRole", {"Fn::GetAtt": ["CredentialsRole", "Arn"]})
    assert native["Resources"][name]["Properties"]["Roles"] == [{"Ref": "ApiHandlerRole"}]


def _documents(item: dict[str, Any]) -> list[dict[str, Any]]:
    properties = item["Properties"]
    inline = [policy["PolicyDocument"] for policy in properties.get("Policies", [])]
    return inline + ([properties["PolicyDocument"]] if "PolicyDocument" in properties else [])


def test_it_may_do_what_session_policies_name_and_no_more(native: Template) -> None:
    statements = json.loads(session_policy(Access("files", "prefix/", True, True)))["Statement"]
    named = {
        action
        for statement in statements
        for action in (statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]])
    }
    assert _allowed(native["Resources"]["CredentialsRole"]) == named


def test_the_function_that_answers_requests_knows_it_and_reaches_sts(native: Template) -> None:
    resources = native["Resources"]
    told = resources["APIHandler"]["Properties"]["Environment"]["Variables"]["LANDFALL_CREDENTIALS_ROLE"]
    assert told == {"Fn::If": ["GivesCredentials", {"Fn::GetAtt": ["CredentialsRole", "Arn"]}, ""]}
    assert resources["APIHandler"]["Properties"]["Environment"]["Variables"]["LANDFALL_BUCKET"]
    assert resources["StsEndpoint"]["Properties"]["PrivateDnsEnabled"]
    [passing] = resources["StsEndpoint"]["Properties"]["PolicyDocument"]["Statement"]
    assert passing["Resource"] == {"Fn::GetAtt": ["CredentialsRole", "Arn"]}
    others = [
        name
        for name, item in resources.items()
        if item["Type"] == "AWS::Lambda::Function"
        and name != "APIHandler"
        and "LANDFALL_CREDENTIALS_ROLE" in item["Properties"]["Environment"]["Variables"]
    ]
    assert others == []
