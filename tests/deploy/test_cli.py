"""What an operator is told when something is missing: a sentence and exit code 1, before anything is touched."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.__main__ import _say_yes, read_parameters
from deploy.cloud import Cloud
from deploy.deployment import Deployment
from deploy.problem import DeployProblem
from deploy.stack import Change
from deploy.template import PROJECT
from dev.ports import free_port


def _deploy(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    command = [sys.executable, "-m", "deploy", *arguments]
    return subprocess.run(
        command, cwd=PROJECT, env=kept | nothing | environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )


_SOMEBODY = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.mark.parametrize("command", ["up", "down", "status", "dead", "redrive", "rollback", "releases"])
def test_each_command_names_a_missing_region_and_missing_credentials(command: str) -> None:
    result = _deploy(command)
    assert (result.returncode, result.stderr) == (
        1,
        "landfall: No AWS region is set: set AWS_REGION, or `region` in your AWS profile.\n",
    )

    result = _deploy(command, AWS_REGION="eu-west-1")
    assert result.returncode == 1
    assert result.stderr.startswith("landfall: No AWS credentials were found: run `aws configure`")
    assert "Traceback" not in result.stderr


def test_a_missing_profile_is_named() -> None:
    result = _deploy("status", AWS_PROFILE="nobody", AWS_REGION="us-east-1")
    assert result.returncode == 1
    assert "nobody" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_cloud_that_does_not_answer_is_named() -> None:
    result = _deploy("status", AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}", **_SOMEBODY)
    assert result.returncode == 1
    assert "does not answer" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_parameter_without_a_value_is_named() -> None:
    result = _deploy("up", "TrashDays", **_SOMEBODY)
    assert (result.returncode, result.stderr) == (1, "landfall: 'TrashDays' is no parameter: write Name=value.\n")


def test_the_merged_template_is_written_for_chalice_package(tmp_path: Path) -> None:
    result = _deploy("template", str(tmp_path))
    assert result.stdout.strip() == str(tmp_path / "infra.json")

    command = [sys.executable, "-c", "from chalice.cli import main; main()", "package", "--stage", "dev"]
    command += ["--merge-template", str(tmp_path / "infra.json"), str(tmp_path / "out")]
    environment = os.environ | {"AWS_DEFAULT_REGION": "us-east-1"}
    subprocess.run(command, cwd=PROJECT, env=environment, check=True, capture_output=True)

    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "deployment.zip", "layer-deployment.zip", "sam.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "loses"),
    [
        (Change("Modify", "FilesBucket", "AWS::S3::Bucket", "True"), True),
        (Change("Remove", "DatabaseCluster", "AWS::RDS::DBCluster", "False"), True),
        (Change("Modify", "EventsQueue", "AWS::SQS::Queue", "Conditional"), False),
        (Change("Add", "SiteBucket", "AWS::S3::Bucket", "False"), False),
        (Change("Modify", "RestAPIDeployment", "AWS::ApiGateway::Deployment", "True"), False),
    ],
)
def test_a_change_that_loses_data_is_marked(change: Change, loses: bool) -> None:
    assert change.loses_data is loses


def test_yes_does_not_confirm_the_loss_of_data() -> None:
    assert _say_yes(False)("Go on?", False)
    with pytest.raises(DeployProblem, match="Not without --lose-data"):
        _say_yes(False)("Go on?", True)
    assert _say_yes(True)("Go on?", True)


def test_a_question_without_a_terminal_changes_nothing() -> None:
    result = subprocess.run(
        [sys.executable, "-c", "from deploy.__main__ import _ask; _ask('Go on?', False)"],
        cwd=PROJECT, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert "Nobody is there to answer" in result.stderr


@pytest.mark.parametrize("stage", ["../docs", "we/ird", "nowhere", "local", ""])
def test_an_unconfigured_stage_is_refused_before_anything_is_changed(stage: str, tmp_path: Path) -> None:
    result = _deploy("package", f"--stage={stage}", "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "to deploy; .chalice/config.json has dev, prod" in result.stderr
    assert not (tmp_path / "out").exists()

    with pytest.raises(DeployProblem, match="There is no stage"):
        Deployment(Cloud("000000000000", "us-east-1", "http://127.0.0.1:1"), stage).up()


def test_make_passes_parameters_on_as_they_are_written(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    value = "DatabaseUrl=postgresql+pg8000://u:p&w;$(id)$x*@h/d AuditSchedule=rate(1 hour)"
    spy = tmp_path / "python"
    spy.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {seen}\n')
    spy.chmod(0o755)
    command = ["make", "deploy", "STAGE=de;v", f"PARAMETERS={value}", f"RUN={spy}", "READY="]
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)

    assert seen.read_text().splitlines() == ["-m", "deploy", "up", "--stage", "de;v", "--parameters", value]


def test_parameters_in_one_text_may_hold_blanks() -> None:
    text = "  AuditSchedule=rate(1 hour)  SiteConnects=https://a.example https://b.example DatabaseUrl=x://u:p=1@h/d "
    options = argparse.Namespace(stage="dev", yes=True, text=text, parameters=["DatabaseTls=off"])
    assert read_parameters(options) == {
        "AuditSchedule": "rate(1 hour)",
        "SiteConnects": "https://a.example https://b.example",
        "DatabaseUrl": "x://u:p=1@h/d",
        "DatabaseTls": "off",
    }
    assert read_parameters(argparse.Namespace(stage="dev")) == {}
    with pytest.raises(DeployProblem, match="is no parameter"):
        read_parameters(argparse.Namespace(text="", parameters=["DatabaseTls"]))
