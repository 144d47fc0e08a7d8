"""SnapStart: off unless it is wanted; the API invokes an alias; each change of code or parameters is a version."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.alias import invoke_alias
from deploy.artifacts import Artifacts
from deploy.cloud import Cloud
from deploy.problem import DeployProblem
from deploy.snapshots import named_release
from tests.support.templates import Template, of_type

_AWS = Cloud("123456789012", "eu-central-1", None)
_DEFAULTS = {"WithSnapStart": "false", "Release": "", "TrashDays": "30"}
_MADE = Artifacts("s3://b/code.zip", "s3://b/layer.zip", "python3.13", "arm64", _DEFAULTS, "https://b/1.json")
_ON = {"WithSnapStart": "true"}


def test_there_are_no_versions_and_snapshots_unless_they_are_wanted(native: Template) -> None:
    assert native["Parameters"]["WithSnapStart"]["Default"] == "false"
    resources = native["Resources"]
    assert {item["Condition"] for item in of_type(native, "AWS::Lambda::Version").values()} == {"TakesSnapshots"}
    applied = resources["APIHandler"]["Properties"]["SnapStart"]["ApplyOn"]
    assert applied == {"Fn::If": ["TakesSnapshots", "PublishedVersions", "None"]}
    version = resources["ApiAlias"]["Properties"]["FunctionVersion"]
    assert version == {"Fn::If": ["TakesSnapshots", {"Fn::GetAtt": ["ApiVersion", "Version"]}, "$LATEST"]}


def test_a_release_changes_the_function_and_its_version(native: Template) -> None:
    """Lambda publishes no second version of a function that hasn't changed, so both say the release."""
    named = {"Fn::Sub": "Release ${Release}"}
    assert native["Resources"]["ApiVersion"]["Properties"]["Description"] == named
    described = native["Resources"]["APIHandler"]["Properties"]["Description"]
    assert described == {"Fn::If": ["TakesSnapshots", named, {"Ref": "AWS::NoValue"}]}


def test_every_route_invokes_the_alias_which_allows_it(native: Template) -> None:
    body = native["Resources"]["RestAPI"]["Properties"]["Body"]
    uris = {
        json.dumps(method["x-amazon-apigateway-integration"]["uri"])
        for path in body["paths"].values()
        for name, method in path.items()
        if name != "options"
    }
    assert len(uris) == 1
    assert "functions/${ApiAlias}/invocations" in uris.pop()
    permission = native["Resources"]["ApiAliasPermission"]["Properties"]
    assert permission["FunctionName"] == {"Ref": "ApiAlias"}
    assert permission["Principal"] == "apigateway.amazonaws.com"
    assert "${RestAPI}/*" in permission["SourceArn"]["Fn::Sub"]


def test_a_template_without_the_functions_integration_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "sam.json"
    path.write_text("{}")
    with pytest.raises(DeployProblem, match="has Chalice changed"):
        invoke_alias(path)


def test_code_and_parameters_name_the_release_together() -> None:
    first = named_release(_AWS, _MADE, _ON)
    assert set(first) == {"Release"}
    # What CloudFormation says of the stack later names the defaults, and the release before.
    assert named_release(_AWS, _MADE, {**_DEFAULTS, **_ON, **first, "Retired": "1"}) == first
    assert named_release(_AWS, _MADE, {**_ON, "TrashDays": "3"}) != first
    assert named_release(_AWS, replace(_MADE, template_url="https://b/2.json"), _ON) != first


def test_without_snapstart_nothing_is_named() -> None:
    assert named_release(_AWS, _MADE, {}) == {}
    before = replace(_MADE, parameters={"TrashDays": "30"})  # a release that is gone back to
    assert named_release(_AWS, before, _ON) == {}


def test_a_python_that_is_too_old_is_refused_before_anything_is_changed() -> None:
    old = replace(_MADE, runtime="python3.11")
    with pytest.raises(
        DeployProblem, match=r"needs functions of Python 3\.12 or newer.*python3\.11; nothing was changed"
    ):
        named_release(_AWS, old, _ON)
    assert named_release(_AWS, old, {}) == {}
    assert named_release(replace(_AWS, endpoint="http://127.0.0.1:1"), old, _ON)
