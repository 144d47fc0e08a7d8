"""The life of a deployed stage: changed, rolled back, migrated, mended, deleted. The tests tell one story, in order.

The stage is the one that the other end-to-end tests have used: they come first.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import text

from chalicelib.catalog.dead_events import Redriven, Selection
from chalicelib.db.migrate import newest_revision
from deploy import packaging
from deploy.deployment import Deployment
from deploy.problem import DeployProblem
from deploy.template import PROJECT
from dev.event_source import scheduled_event
from dev.ports import free_port
from tests.support.stacks import Stack
from tests.support.waiting import eventually

NEWEST = newest_revision()
_MIGRATION = '''"""A test's."""

from alembic import op

revision = "{revision}"
down_revision = "{after}"


def upgrade() -> None:
    op.execute("{statement}")


def downgrade() -> None:
    pass
'''

_ADDS_COLUMN = _MIGRATION.format(revision="9998", after=NEWEST, statement="ALTER TABLE users ADD COLUMN note text")

# Something that fails once everything else is made.
_BROKEN = (
    "Outputs:\n",
    "  Broken:\n    Type: AWS::CloudFormation::WaitCondition\n    DependsOn: [APIHandler, Migrate, Ingest]\n"
    "    Properties: { Handle: !Ref BrokenHandle, Timeout: 1 }\n"
    "  BrokenHandle:\n    Type: AWS::CloudFormation::WaitConditionHandle\nOutputs:\n",
)


@pytest.fixture(scope="module")
def stack(deployed_stage: tuple[Stack, Deployment]) -> Stack:
    return deployed_stage[0]


@pytest.fixture(scope="module")
def deployment(deployed_stage: tuple[Stack, Deployment]) -> Deployment:
    return deployed_stage[1]


@pytest.fixture(scope="module")
def told_when_nothing_changed(deployment: Deployment) -> list[str]:
    """What a deployment of what is deployed already reports."""
    lines: list[str] = []
    replace(deployment, report=lines.append).up()
    return lines


@pytest.fixture
def release(deployment: Deployment, tmp_path: Path) -> Callable[..., Deployment]:
    """Makes a copy of this checkout in which the named files were edited, ready to be deployed over what there is."""

    def make(edits: dict[str, tuple[str, str]] | None = None, **new_files: str) -> Deployment:
        source = tmp_path / f"release-{time.monotonic_ns()}"
        packaging._copy_project(PROJECT, source, None)
        shutil.copytree(PROJECT / "infra", source / "infra")
        for name, (old, new) in (edits or {}).items():
            content = (source / name).read_text()
            assert old in content
            (source / name).write_text(content.replace(old, new))
        for name, content in new_files.items():
            (source / "chalicelib/db/migrations/versions" / f"{name}.py").write_text(content)
        return replace(deployment, source=source)

    return make


def _title(deployment: Deployment) -> str:
    page = urllib3.request("GET", deployment.addresses()["Docs"]).data.decode()
    return page.partition("<title>")[2].partition("</title>")[0]


def _editing_title(to: str) -> dict[str, tuple[str, str]]:
    return {"chalicelib/api/routes/docs.py": ("<title>Landfall API</title>", f"<title>{to}</title>")}


def test_the_stage_runs_the_packaged_code_and_reports_its_status(stack: Stack, deployment: Deployment) -> None:
    assert _title(deployment) == "Landfall API"
    assert stack.get("/health") == {"status": "ok"}

    functions = deployment.cloud.client("lambda").list_functions()["Functions"]
    assert {function["Handler"] for function in functions} == {
        "app.app", "app.audit", "app.bury", "app.fetch_keys", "app.ingest", "app.ingest_direct",
        "app.inspect_pending", "app.maintain", "app.migrate", "app.run_jobs", "app.work",
    }  # fmt: skip
    assert "cfn-deployed" not in {function["CodeSha256"] for function in functions}  # the emulator's word for "no zip"

    status = deployment.status()
    assert status.rows["Schema"] == f"{NEWEST} (current; the code needs {NEWEST})"
    assert status.rows["Alarms go to"] == "nobody: set AlarmEmail"

    counts = ("waiting_events", "oldest_event_seconds", "dead_events", "failed_jobs", "open_jobs", "pending_uploads")
    assert [status.facts[name] for name in counts] == [0] * 6
    assert status.facts["alarms"] == []
    assert (status.attention, status.exit_code) == ([], 0)

    json.dumps(status.facts)


def test_a_deployment_warns_that_nobody_receives_alarms(told_when_nothing_changed: list[str]) -> None:
    assert any(line.startswith("Warning: alarms go to nobody") for line in told_when_nothing_changed)


def test_deploying_the_same_again_changes_nothing(told_when_nothing_changed: list[str]) -> None:
    assert "The stack is as it should be." in told_when_nothing_changed


def test_a_refused_confirmation_changes_nothing(deployment: Deployment, release: Callable[..., Deployment]) -> None:
    questions: list[str] = []

    def refuse(question: str, loses_data: bool) -> bool:
        assert not loses_data
        questions.append(question)
        return False

    with pytest.raises(DeployProblem, match="nothing was changed"):
        replace(release(_editing_title("Refused")), confirm=refuse).up()
    assert "changes to landfall-dev" in questions[0]
    assert _title(deployment) == "Landfall API"


def test_an_update_replaces_the_handler(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    lines: list[str] = []
    nobody = {**deployment.parameters, "Identity": "none"}
    replace(release(_editing_title("The next one")), parameters=nobody, report=lines.append).up()

    assert _title(deployment) == "The next one"
    # By the way: where nobody is identified, the API refuses even the operator.
    assert any("was in the database" in line for line in lines)
    assert stack.request("GET", "/api/files").status == 401


def test_a_parameter_alone_can_be_changed(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    release(_editing_title("The next one")).up()  # which identifies everybody again
    assert stack.get("/api/files").keys() == {"items", "next_cursor", "exact"}


def test_with_snapstart_each_change_is_a_version_that_the_api_invokes(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    """The emulator takes no snapshots; versions and the alias are as on AWS."""
    same = release(_editing_title("The next one"))
    assert _invoked_version(deployment) == "$LATEST"
    replace(same, parameters={**same.parameters, "WithSnapStart": "true"}).up()
    first = _invoked_version(deployment)
    assert _title(deployment) == "The next one"

    nobody = {**same.parameters, "WithSnapStart": "true", "Identity": "none"}
    replace(same, parameters=nobody).up()  # the code is the same
    second = _invoked_version(deployment)
    assert second not in (first, "$LATEST")
    assert stack.request("GET", "/api/files").status == 401

    replace(same, parameters={**same.parameters, "WithSnapStart": "false"}).up()
    assert _invoked_version(deployment) == "$LATEST"
    assert stack.get("/api/files").keys() == {"items", "next_cursor", "exact"}


def test_a_template_that_cloudformation_refuses_changes_nothing(deployment: Deployment) -> None:
    with pytest.raises(DeployProblem, match="nothing was changed"):
        replace(deployment, parameters={"Identity": "everybody"}).up()


def test_an_unknown_parameter_is_named_with_the_likely_one(deployment: Deployment) -> None:
    with pytest.raises(DeployProblem, match="no parameter TrashDay, but TrashDays; nothing was changed"):
        replace(deployment, parameters={"TrashDay": "3"}).up()


def test_a_missing_database_is_noticed_before_anything_is_changed(stack: Stack, deployment: Deployment) -> None:
    before = deployment.status().rows

    nowhere = {**deployment.parameters, "DatabaseUrl": f"postgresql+pg8000://x@127.0.0.1:{free_port()}/x"}
    with pytest.raises(DeployProblem, match="A migration failed, and changed nothing"):
        replace(deployment, parameters={**nowhere, "TrashDays": "5"}).up()
    assert deployment.status().rows == before
    assert stack.get("/api/files").keys() == {"items", "next_cursor", "exact"}


def test_an_update_that_fails_half_way_is_rolled_back(
    deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    before = _code_of_functions(deployment)
    with pytest.raises(DeployProblem, match=r"UPDATE_ROLLBACK_COMPLETE: Broken: .*Everything is as it was before"):
        release({**_editing_title("Never"), "infra/site.yaml": _BROKEN}).up()
    assert _title(deployment) == "The next one"
    assert _code_of_functions(deployment) == before


def test_a_migration_runs_before_the_code_that_needs_it(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    lines: list[str] = []
    replace(release(_editing_title("With notes"), **{"9998_notes": _ADDS_COLUMN}), report=lines.append).up()

    migrated = lines.index("The schema is at revision 9998.")
    assert any(line.strip().startswith("update complete") for line in lines[migrated:])
    assert not any(line.strip().startswith("update complete") for line in lines[:migrated])

    with stack.engine.connect() as connection:
        connection.execute(text("SELECT note FROM users"))
    assert _title(deployment) == "With notes"


def test_a_migration_that_fails_leaves_database_and_stack_as_they_were(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    files = {
        "9998_notes": _MIGRATION.format(revision="9998", after=NEWEST, statement="SELECT 1"),
        "9999_half": _MIGRATION.format(
            revision="9999", after="9998", statement="ALTER TABLE users ADD COLUMN half text; SELECT 1 / 0"
        ),
    }
    before = _code_of_functions(deployment)

    with pytest.raises(DeployProblem, match=r"A migration failed, and changed nothing.*division by zero"):
        release(_editing_title("Never"), **files).up()
    assert _code_of_functions(deployment) == before
    assert _title(deployment) == "With notes"

    change_sets = deployment.cloud.client("cloudformation").list_change_sets(StackName=deployment.stack.name)
    assert [item for item in change_sets["Summaries"] if item["ExecutionStatus"] == "AVAILABLE"] == []

    with stack.engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "9998"
        columns = connection.execute(text("SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass"))
        assert "half" not in columns.scalars().all()


def test_older_code_is_not_deployed_onto_a_newer_schema(deployment: Deployment) -> None:
    with pytest.raises(DeployProblem, match="newer code has migrated"):
        deployment.up()
    assert _title(deployment) == "With notes"


def test_a_rollback_of_a_release_with_a_migration_keeps_the_schema(deployment: Deployment) -> None:
    with pytest.raises(DeployProblem, match="nothing was changed"):
        replace(deployment, confirm=lambda question, loses_data: False).rollback()
    assert _title(deployment) == "With notes"

    lines: list[str] = []
    replace(deployment, report=lines.append).rollback()
    assert _title(deployment) == "The next one"
    assert f"The schema stays at revision 9998; this release was written for {NEWEST}." in lines
    assert any("was in the database" in line for line in lines)  # it was tried

    status = deployment.status()
    assert status.rows["Schema"] == f"9998 (ahead; the code needs {NEWEST})"
    assert status.attention == []
    assert [entry.is_rollback for entry in deployment.releases()] == [False, False, False, True]


def test_an_interrupted_deployment_can_be_rolled_back(
    deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    def lose_patience(line: str) -> None:
        if line.strip().startswith("update complete"):
            raise KeyboardInterrupt

    # It holds the migration that the release had which was gone back from.
    impatient = release(_editing_title("Without patience"), **{"9998_notes": _ADDS_COLUMN})
    with pytest.raises(KeyboardInterrupt):
        replace(impatient, report=lose_patience).up()
    assert eventually(lambda: deployment.stack.status == "UPDATE_COMPLETE")
    assert _title(deployment) == "Without patience"

    deployment.rollback()
    assert _title(deployment) == "The next one"


def test_a_wrong_database_parameter_is_corrected_without_a_migration(
    deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    """However it came about: a deployment itself refuses it, as it refuses a database that is not there."""
    mended = release(_editing_title("With notes, mended"), **{"9998_notes": _ADDS_COLUMN})
    with pytest.raises(DeployProblem, match="A migration failed, and changed nothing"):
        replace(mended, parameters={"DatabaseTls": "verify"}).up()
    assert _title(deployment) == "The next one"

    artifacts, _ = mended._packaged()
    change_set, _ = mended._prepared(artifacts, {"DatabaseTls": "verify"})
    mended.stack.execute(change_set, lambda line: None)
    status = deployment.status()
    assert (status.facts["schema"], status.exit_code) == (None, 3)
    assert status.attention[0].startswith("The schema can't be asked for: The function says: ")

    replace(mended, parameters={"DatabaseTls": "off"}).up()
    assert deployment.status().attention == []
    assert _title(deployment) == "With notes, mended"


def test_dead_events_are_recorded_as_soon_as_the_database_is_back(stack: Stack, deployment: Deployment) -> None:
    stack.postgres.kill()
    stack.s3.put_object(Bucket=stack.bucket, Key="while-nobody-was-there", Body=b"1")
    assert eventually(lambda: stack.dying_events() == 1, 60)
    assert deployment.status().facts["dying_events"] == 1

    stack.postgres.start()
    assert eventually(lambda: len(stack.get("/api/files?key=while-nobody-was-there")["items"]) == 1, 60)
    assert eventually(lambda: stack.dying_events() == 0)
    assert deployment.status().facts["dead_events"] == 0


def test_poison_waits_for_an_operator(stack: Stack, deployment: Deployment) -> None:
    stack.send_event("poison")
    assert eventually(lambda: deployment.status().facts["dead_events"] == 1, 60)
    assert "Events have failed all their tries: python -m deploy dead --stage dev" in deployment.status().attention

    events = deployment.dead_events()
    assert [one.body for one in events.find(Selection(), 10)] == ["poison"]
    assert events.redrive(Selection()) == Redriven(0, 1, 0)
    assert events.discard(Selection(about="poison")) == 1
    assert deployment.status().facts["dead_events"] == 0


def test_a_bucket_that_was_there_before_is_adopted(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    stack.s3.create_bucket(Bucket="from-before")
    stack.s3.put_object(Bucket="from-before", Key="from-before/old", Body=b"1")
    with pytest.raises(DeployProblem, match=r'PARAMETERS="ExtraBuckets=from-before"'):
        deployment.adopt("from-before")
    mended = release(_editing_title("With notes, mended"), **{"9998_notes": _ADDS_COLUMN})
    replace(mended, parameters={"ExtraBuckets": "from-before"}).up()

    audit = deployment.adopt("from-before")
    stack.s3.put_object(Bucket="from-before", Key="from-before/new", Body=b"1")
    work = deployment.stack.physical_id("Work")
    tick = json.dumps(scheduled_event("work", datetime.now(UTC), "us-east-1"))
    answer = deployment.cloud.client("lambda").invoke(FunctionName=work, Payload=tick.encode())
    done = json.load(answer["Payload"])
    assert done.get("audits", 0) >= 1, done
    assert eventually(lambda: stack.get(f"/api/audits/{audit}")["state"] == "done", 60)

    def keys() -> list[str]:
        return sorted(file["key"] for file in stack.get("/api/files?prefix=from-before/")["items"])

    assert eventually(lambda: keys() == ["from-before/new", "from-before/old"])


def test_many_functions_share_an_audit(stack: Stack, deployment: Deployment) -> None:
    with stack.engine.begin() as connection:
        connection.execute(text("UPDATE object_versions SET etag = 'wrong' WHERE key LIKE 'from-before/%'"))
    found = deployment.audit({"bucket": "from-before", "repairs": True, "workers": 3})
    assert (found["state"], found["compared"], found["recorded"]) == ("done", 2, 2)
    with stack.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM object_versions WHERE etag = 'wrong'")) == 0
    with pytest.raises(DeployProblem, match="has not ended well"):
        deployment.audit({"bucket": "unheard-of"})


def test_a_stage_with_data_is_deleted_only_on_request_and_then_completely(stack: Stack, deployment: Deployment) -> None:
    with pytest.raises(DeployProblem, match=r"with files in it.*Nothing was deleted"):
        deployment.down()
    assert stack.get("/health") == {"status": "ok"}
    with pytest.raises(DeployProblem, match="Not deleted"):
        replace(deployment, confirm=lambda question, loses_data: False).down(with_data=True)

    deployment.down(with_data=True)
    assert not deployment.stack.exists
    assert stack.bucket not in [bucket["Name"] for bucket in stack.s3.list_buckets()["Buckets"]]
    assert stack.sqs.list_queues().get("QueueUrls", []) == []
    with pytest.raises(DeployProblem, match="There is no stack"):
        deployment.down()
    with pytest.raises(DeployProblem, match="no deployed stack"):
        deployment.status()


def test_the_remains_of_a_failed_first_deployment_can_be_removed(
    stack: Stack, deployment: Deployment, release: Callable[..., Deployment]
) -> None:
    broken = release({"infra/site.yaml": _BROKEN})
    with pytest.raises(DeployProblem, match=r"ROLLBACK_COMPLETE: Broken: .*`make destroy` removes the remains"):
        broken.up()
    with pytest.raises(DeployProblem, match="ROLLBACK_COMPLETE, from which CloudFormation cannot go on"):
        broken.up()

    broken.down()
    assert not deployment.stack.exists
    assert stack.bucket not in [bucket["Name"] for bucket in stack.s3.list_buckets()["Buckets"]]
    assert stack.sqs.list_queues().get("QueueUrls", []) == []


def _invoked_version(deployment: Deployment) -> str:
    """The version of the API's function that API Gateway invokes."""
    name = deployment.stack.physical_id("APIHandler")
    alias = deployment.cloud.client("lambda").get_alias(FunctionName=name, Name="live")
    return str(alias["FunctionVersion"])


def _code_of_functions(deployment: Deployment) -> str:
    functions = deployment.cloud.client("lambda").list_functions()["Functions"]
    return json.dumps({f["FunctionName"]: [f["CodeSha256"], f.get("Layers")] for f in functions}, sort_keys=True)
