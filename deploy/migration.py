"""Brings the schema to what the new code needs, before that code gets a request.

Migrations only expand: they add what the new code needs and leave what the old code uses, which a later release may
then contract. So first only the migrate function gets the new code, and migrates. Then the stack follows. In between,
the old code works on the new schema.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from deploy.artifacts import Artifacts
from deploy.cloud import Cloud
from deploy.problem import DeployProblem
from deploy.stack import Stack

FUNCTION = "Migrate"
_LAYER = "landfall-migrating"


def invoke(functions: Any, name: str, event: dict[str, Any]) -> Any:
    """Invoke a function and return its answer. ``functions``: a client of Lambda.

    Raises:
        DeployProblem: it raised, or can't be invoked; holds the reason.
    """
    try:
        answer = functions.invoke(FunctionName=name, Payload=json.dumps(event))
    except ClientError as error:
        raise DeployProblem(f"The function {name} can't be invoked: {error}") from None
    payload = json.loads(answer["Payload"].read() or b"null")
    if "FunctionError" in answer:
        # The first line: what follows is the driver's own advice.
        raise DeployProblem(f"The function says: {str(payload.get('errorMessage', payload)).splitlines()[0]}")
    return payload


class Migrator:
    """The migrate function of one stack."""

    def __init__(self, cloud: Cloud, stack: Stack, report: Callable[[str], None]) -> None:
        self._cloud, self._stack, self._report = cloud, stack, report
        self._lambda = cloud.client("lambda")

    @contextmanager
    def ahead(self, artifacts: Artifacts, revision: str, environment: Mapping[str, str]) -> Iterator[None]:
        """Migrate with the code of ``artifacts``, then have the block change the stack to it.

        ``environment`` holds the variables that the new stack will have. Migrating with them shows whether the new database can
        be reached, before the stack is changed. The old database need not be reachable, so a wrong address can be corrected.

        If either fails, the function gets its old code back. What was migrated stays: the old code can work with it.

        Raises:
            DeployProblem: a migration failed, and changed nothing. Those before it stay.
        """
        old = Artifacts.of(self._stack.template())
        before = self._lambda.get_function_configuration(FunctionName=self._name)
        layers = [layer["Arn"] for layer in before.get("Layers", [])]
        variables = before.get("Environment", {}).get("Variables", {})
        is_same = environment.items() <= variables.items()
        if is_same and self._runs(artifacts) and old.layer == artifacts.layer:
            self.upgrade(revision)
            yield
            return
        borrowed = self._publish(artifacts) if old.layer != artifacts.layer else None
        began = False
        try:
            self._switch(artifacts, [borrowed] if borrowed else layers, {**variables, **environment})
            self.upgrade(revision)
            began = True
            yield
        except BaseException:
            # If this command is interrupted while CloudFormation goes on, CloudFormation takes care of the function.
            if not began or self._stack.status == "UPDATE_ROLLBACK_COMPLETE":
                self._switch(old, layers, variables)
            raise
        finally:
            if borrowed:
                name, version = borrowed.rsplit(":", 2)[-2:]
                self._lambda.delete_layer_version(LayerName=name, VersionNumber=int(version))

    def upgrade(self, revision: str) -> None:
        """Bring the schema to ``revision``, which must be that of the function's code, with its roles if need be.

        Raises:
            DeployProblem: a migration failed, and changed nothing. Those before it stay: the old code can work with them.
        """
        self._ensure_roles()
        try:
            reached = self.invoke({"action": "upgrade", "expected": revision})
        except DeployProblem as problem:
            raise DeployProblem(
                f"A migration failed, and changed nothing; those before it stay. {problem} Mend the cause and deploy again."
            ) from None
        self._report(f"The schema is at revision {reached['database']}.")

    def status(self) -> dict[str, Any]:
        """The schema's revision, the code's, how they stand to each other, and whether members have a role."""
        answer: dict[str, Any] = self.invoke({"action": "status"})
        return answer

    def _ensure_roles(self) -> None:
        """Make the roles that the functions log in as, if the stack has a database of its own that lacks them.

        The master user's password is read here and handed over in the invocation. The function couldn't read it,
        because its subnet has no way to Secrets Manager, and an endpoint there would cost by the hour.
        """
        secret = self._stack.outputs().get("DatabaseSecret")
        if secret and not self._has_roles():
            text = self._cloud.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
            value = json.loads(text)
            self.invoke({"action": "roles", "user": value["username"], "password": value["password"]})
            self._report("The database's roles are there.")

    def _has_roles(self) -> bool:
        """Whether the function can log in, and members have the role that came later than the others."""
        try:
            return bool(self.status().get("has_member_role"))
        except DeployProblem:
            return False

    def _runs(self, artifacts: Artifacts) -> bool:
        """Whether the function has this very code: its key in the bucket is its hash."""
        sha256 = bytes.fromhex(Path(artifacts.code).stem)
        deployed = self._lambda.get_function_configuration(FunctionName=self._name)["CodeSha256"]
        return str(deployed) == base64.b64encode(sha256).decode()

    def invoke(self, event: dict[str, Any]) -> Any:
        """Invoke the function and return its answer.

        Raises:
            DeployProblem: it raised, or can't be invoked; holds the reason.
        """
        return invoke(self._lambda, self._name, event)

    @property
    def _name(self) -> str:
        name = self._stack.physical_id(FUNCTION)
        if name is None:
            raise DeployProblem(f"The stack {self._stack.name} has no function {FUNCTION}: it is none of Landfall's.")
        return name

    def _publish(self, artifacts: Artifacts) -> str:
        answer = self._lambda.publish_layer_version(LayerName=_LAYER, Content=_place(artifacts.layer))
        return str(answer["LayerVersionArn"])

    def _switch(self, artifacts: Artifacts, layers: list[str], variables: Mapping[str, str]) -> None:
        """Have the function run other code, and wait until it does."""
        self._lambda.update_function_code(
            FunctionName=self._name, Architectures=[artifacts.architecture], **_place(artifacts.code)
        )
        self._wait()
        self._lambda.update_function_configuration(
            FunctionName=self._name,
            Runtime=artifacts.runtime,
            Layers=layers,
            Environment={"Variables": dict(variables)},
        )
        self._wait()

    def _wait(self) -> None:
        self._lambda.get_waiter("function_updated_v2").wait(FunctionName=self._name, WaiterConfig={"Delay": 1})


def _place(uri: str) -> dict[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return {"S3Bucket": bucket, "S3Key": key}
