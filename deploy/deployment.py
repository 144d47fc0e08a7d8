"""Up, down, and how it stands: what an operator asks for."""

import difflib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from deploy.adoption import adopt
from deploy.artifacts import Artifacts, upload
from deploy.auditing import run_audit
from deploy.callers import fetch_keys, make_operator
from deploy.cloud import Cloud
from deploy.logs import keep_database_log
from deploy.migration import Migrator
from deploy.networks import s3_prefix_list
from deploy.packaging import own_architecture, package
from deploy.problem import DeployProblem
from deploy.releases import Release, Releases, before
from deploy.removal import remove
from deploy.replicas import require_apart
from deploy.serving import STAGE, serve_as_it_is
from deploy.smoke import smoke_test
from deploy.snapshots import named_release
from deploy.stack import Change, Stack
from deploy.status import Status, look
from deploy.template import PROJECT
from deploy.worries import worries
from dev.dead_events import StageDeadEvents


@dataclass(frozen=True)
class Deployment:
    """One stage in one cloud.

    Attributes:
        parameters: of the template, over those of ``infra/parameters/{stage}.json``.
        report: takes a line of text.
        confirm: is asked a question, and whether data would be lost; answers whether to go on.
        source: the checkout that is deployed.
    """

    cloud: Cloud
    stage: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    report: Callable[[str], None] = print
    confirm: Callable[[str, bool], bool] = lambda question, loses_data: True
    source: Path = PROJECT

    @property
    def stack(self) -> Stack:
        return Stack(self.cloud, f"landfall-{self.stage}")

    def up(self) -> dict[str, str]:
        """Package, upload, show the changes, migrate, carry them out, and try the result; returns its addresses.

        Raises:
            DeployProblem: says what failed, how things are now, and what to do.
        """
        artifacts, revision = self._packaged()
        parameters, stack = self._all_parameters(artifacts.parameters), self.stack
        change_set, changes = self._prepared(artifacts, parameters)
        migrator = Migrator(self.cloud, stack, self.report)
        if not changes:
            self.report("The stack is as it should be.")
        elif stack.exists:
            try:
                with migrator.ahead(artifacts, revision, self._environment(parameters)):
                    self._execute(change_set, artifacts.template_url, revision)
            except BaseException:
                stack.discard(change_set)
                raise
        else:
            self._execute(change_set, artifacts.template_url, revision)
        try:
            # Also after a migration ahead, because the change may have led to another database.
            migrator.upgrade(revision)
        except DeployProblem as problem:
            raise DeployProblem(f"The stack {stack.name} has the new version, but: {problem}") from None
        self._releases.note(artifacts.template_url, revision)  # also one that was in place before releases were noted
        fetch_keys(self.cloud, stack, self.report)
        keep_database_log(self.cloud, stack)
        for worry in worries(stack.parameters()):
            self.report(worry)
        return self._tried(migrator)

    def rollback(self) -> dict[str, str]:
        """Go back to the release before the one in place; returns the stage's addresses.

        Its packages still lie where they were uploaded. The schema stays as it is: a migration only adds what the release
        before doesn't use. Parameters keep their values.

        Raises:
            DeployProblem: no such release is known, or CloudFormation failed; says how things are now.
        """
        self._outputs()
        history, stack = self._releases.all(), self.stack
        target = before(history)
        if target is None:
            raise DeployProblem(f"No release before the one in place is known for {stack.name}; nothing was changed.")
        migrator = Migrator(self.cloud, stack, self.report)
        self.report(f"Back to release {target.id} of {target.deployed_at}, written for schema {target.revision}.")
        change_set, changes = self._prepared(self._releases.artifacts(target), {})
        if changes:
            try:
                self._execute(change_set, target.template_url, target.revision, is_rollback=True)
            except BaseException:
                stack.discard(change_set)
                raise
        self._releases.note(target.template_url, target.revision, is_rollback=True)
        schema = migrator.status()
        self.report(
            f"The schema stays at revision {schema['database']}; this release was written for {target.revision}."
        )
        return self._tried(migrator)

    def releases(self) -> list[Release]:
        """Each time that a release was put in place, the oldest first.

        Raises:
            DeployProblem: there is no such stage.
        """
        self._outputs()
        return self._releases.all()

    def down(self, *, with_data: bool = False) -> None:
        """Delete the stage.

        Args:
            with_data: delete the files and the database with it. Without, the stack is deleted only if there are none.

        Raises:
            DeployProblem: there is nothing, or there is data.
        """
        stack = self.stack
        if not stack.status:
            raise DeployProblem(f"There is no stack {stack.name} in {self.cloud.region}.")
        bucket, database = stack.physical_id("FilesBucket"), stack.physical_id(_OWN_DATABASE)
        pool = stack.physical_id("UserPool")
        holds = [
            *([f"the bucket {bucket} with files in it"] if bucket and self._has_versions(bucket) else []),
            *([f"the database {database}"] if database else []),
            *([f"the user pool {pool}"] if pool else []),
        ]
        if holds and not with_data:
            raise DeployProblem(
                f"{stack.name} has {' and '.join(holds)}. Nothing was deleted. To delete the stage and all its data: "
                f"`make destroy STAGE={self.stage} DATA=delete`."
            )
        what = f" and {' and '.join(holds)}, for ever" if holds else ""
        if not self.confirm(f"Delete the stack {stack.name}{what}?", False):
            raise DeployProblem("Not deleted; nothing was changed.")
        remove(self.cloud, stack, self.report, database)
        if database:
            self.report("A last snapshot of the database is kept; delete it in the RDS console.")
        else:
            self.report("The tables in the database of DatabaseUrl are kept; drop them by hand if you don't need them.")

    def dead_events(self) -> StageDeadEvents:
        """The events that failed all their tries."""
        return StageDeadEvents(self._migrator.invoke)

    def inspect(self) -> int:
        """Have every version inspected again whose inspection was given up; returns how many there are."""
        return int(self._migrator.invoke({"action": "inspect"})["requested"])

    def make_operator(self, user_id: str) -> str:
        """Make a user an operator; returns its name."""
        self._outputs()
        return make_operator(self._migrator, user_id)

    def adopt(self, bucket: str) -> str:
        """Take in a bucket that was there before; see `deploy.adoption`."""
        self._outputs()
        return adopt(self.cloud, self.stack, self._migrator, bucket)

    def audit(self, wish: dict[str, Any]) -> dict[str, Any]:
        """Audit a bucket by many functions at once; see `deploy.auditing`."""
        return run_audit(self.cloud, self._outputs()["AuditMachineArn"], wish)

    def status(self) -> Status:
        """How the stage stands."""
        outputs, stack = self._outputs(), self.stack
        migrator, release = self._migrator, next(reversed(self.releases()), None)
        return look(self.cloud, stack, migrator, release, self.addresses(), outputs)

    def addresses(self) -> dict[str, str]:
        """The addresses of the stage's API, bucket and so on."""
        outputs = self._outputs()
        api = self.cloud.api_url(outputs["RestAPIId"], STAGE, outputs["ApiUrl"])
        found = {"API": api, "Docs": f"{api}/docs", "Bucket": outputs["FilesBucketName"]}
        return found | {name: outputs[key] for name, key in _OPTIONAL.items() if key in outputs}

    def _environment(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """The variables of a function that these parameters set, as far as they say which database it uses.

        There are none for the stack's own database: what that needs is known only once it is made.
        """
        is_own = (
            parameters["DatabaseUrl"] == "" if "DatabaseUrl" in parameters else self.stack.physical_id(_OWN_DATABASE)
        )
        # The function may read a secret only once the stack, and so its role, is changed.
        secret = parameters.get("DatabaseSecretArn", "")
        if is_own or (secret and secret != self.stack.parameters().get("DatabaseSecretArn")):
            return {}
        given = {variable: parameters[name] for name, variable in _DATABASE.items() if name in parameters}
        # What CloudFormation looks up itself is not known here.
        return {variable: value for variable, value in given.items() if not value.startswith("{{resolve:")}

    @property
    def _migrator(self) -> Migrator:
        return Migrator(self.cloud, self.stack, self.report)

    @property
    def _releases(self) -> Releases:
        return Releases(self.cloud, self.stack.name, self.stack.id)

    def _execute(self, change_set: str, template_url: str, revision: str, *, is_rollback: bool = False) -> None:
        """Carry a change set out. The release is noted first, so that it is known even if this command is interrupted."""
        self._releases.note(template_url, revision, is_rollback=is_rollback)
        try:
            self.stack.execute(change_set, self.report)
        except BaseException:
            if self.stack.status.endswith("ROLLBACK_COMPLETE"):
                self._releases.forget(template_url)
            raise

    def _prepared(self, artifacts: Artifacts, parameters: Mapping[str, str]) -> tuple[str, list[Change]]:
        """A change set that was agreed to, and what it changes.

        Raises:
            DeployProblem: CloudFormation or the operator says no; nothing was changed.
        """
        change_set, stack = f"landfall-{uuid4().hex[:12]}", self.stack
        tags = {"application": "landfall", "stage": self.stage}
        effective = {**stack.parameters(), **parameters}
        require_apart(effective)
        parameters = {**parameters, **named_release(self.cloud, artifacts, effective)}
        changes = stack.prepare(change_set, artifacts.template_url, parameters, artifacts.parameters, tags)
        if changes and not self._agreed(changes):
            stack.discard(change_set)
            raise DeployProblem("Not deployed; nothing was changed.")
        return change_set, changes

    def _tried(self, migrator: Migrator) -> dict[str, str]:
        """The stage's addresses, after a real file has landed there."""
        addresses = self.addresses()
        serve_as_it_is(self.cloud, self.stack, self._outputs()["RestAPIId"], self.report)
        smoke_test(self.cloud, self._own_url(), addresses["Bucket"], migrator, self.report)
        return addresses

    def _own_url(self) -> str:
        """Where the API answers, even if its domain name was not entered in any zone yet, unless it has none but that."""
        outputs = self._outputs()
        own = outputs.get("OwnUrl", outputs["EndpointURL"])  # an earlier release doesn't say the first
        return self.cloud.api_url(outputs["RestAPIId"], STAGE, own.rstrip("/"))

    def _outputs(self) -> dict[str, str]:
        outputs = self.stack.outputs()
        if "RestAPIId" not in outputs:
            raise DeployProblem(f"There is no deployed stack {self.stack.name} in {self.cloud.region}.")
        return outputs

    def _packaged(self) -> tuple[Artifacts, str]:
        """Package and upload; returns where it lies, and the schema's revision that it was written for."""
        self.report(f"Packaging {self.stage} …")
        # An emulator runs functions right here, whatever architecture they are said to have.
        architecture = own_architecture() if self.cloud.endpoint else None
        with TemporaryDirectory(prefix="landfall-package-") as folder:
            made = package(self.stage, Path(folder) / self.stage, architecture, self.source)
            return upload(self.cloud, made), made.revision

    def _all_parameters(self, known: Collection[str]) -> dict[str, str]:
        for name in self.parameters:
            if name not in known:
                like = difflib.get_close_matches(name, known, 1)
                raise DeployProblem(
                    f"The template has no parameter {name}{f', but {like[0]}' if like else ''}; nothing was changed."
                )
        path = self.source / "infra" / "parameters" / f"{self.stage}.json"
        of_stage = json.loads(path.read_text()) if path.exists() else {}
        looked_up = {"QueueName": f"landfall-{self.stage}-events", "S3PrefixListId": s3_prefix_list(self.cloud)}
        given = {name: value for name, value in looked_up.items() if name in known and value}
        return {**given, **of_stage, **self.parameters}

    def _agreed(self, changes: list[Change]) -> bool:
        for change in changes:
            self.report(f"  {change.action:<8}{change.kind:<40}{change.name}  {change.warning}".rstrip())
        lost = [change.name for change in changes if change.loses_data]
        warning = f" The data of {', '.join(lost)} WOULD BE LOST." if lost else ""
        return self.confirm(f"{len(changes)} changes to {self.stack.name}.{warning} Go on?", bool(lost))

    def _has_versions(self, bucket: str) -> bool:
        answer = self.cloud.client("s3").list_object_versions(Bucket=bucket, MaxKeys=1)
        return bool(answer.get("Versions") or answer.get("DeleteMarkers"))


_OWN_DATABASE = "DatabaseCluster"
_DATABASE = {
    "DatabaseUrl": "LANDFALL_DATABASE_URL",
    "DatabaseLogin": "LANDFALL_DATABASE_LOGIN",
    "DatabaseSecretArn": "LANDFALL_DATABASE_SECRET",
    "DatabaseTls": "LANDFALL_DATABASE_TLS",
}
_OPTIONAL = {"Page": "SiteUrl", "Dashboard": "DashboardUrl"}
