"""The alias by which API Gateway invokes the API's function: ``ApiAlias`` in ``infra/service.yaml``.

It stands for the function as it is, or with SnapStart for a version that a snapshot was taken of. Chalice knows no aliases, so
the packaged template is edited.
"""

from pathlib import Path

from deploy.problem import DeployProblem

_FUNCTION, _ALIAS = "${APIHandler.Arn}/invocations", "${ApiAlias}/invocations"


def invoke_alias(template: Path) -> None:
    """Have the API of a packaged template invoke the alias, in place of the function that Chalice names.

    Raises:
        DeployProblem: the template names no such function.
    """
    content = template.read_text()
    if _FUNCTION not in content:
        raise DeployProblem(f"{template.name} has no integration with {_FUNCTION}; has Chalice changed?")
    template.write_text(content.replace(_FUNCTION, _ALIAS))
