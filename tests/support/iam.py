"""A small model of IAM: whether a policy is well-formed, and what it allows.

Only what Landfall's session policies use: actions by name, resources and `StringLike` with patterns and escapes. What a session
may do is what both its role and its session policy allow; nothing is allowed unless a statement says so.

Sources: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html,
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import json
import re
from typing import Any

# The characters that AssumeRole takes in a policy: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
_CHARACTERS = re.compile(r"[\t\n\r\u0020-\u00ff]{1,2048}")
_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):s3:::[a-z0-9.-]{3,63}(/.*)?", re.DOTALL)
_TOKEN = re.compile(r"\$\{([*?$])\}|(\$\{[^}]*\})|([*?])|(.)", re.DOTALL)


def check_grammar(policy: str) -> None:
    """Assert that this is a policy as IAM's grammar has it."""
    assert _CHARACTERS.fullmatch(policy)
    document = json.loads(policy)
    assert set(document) == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17"  # without it ``${*}`` would be four characters
    for statement in document["Statement"]:
        assert set(statement) <= {"Effect", "Action", "Resource", "Condition"}
        assert statement["Effect"] in ("Allow", "Deny")
        assert _listed(statement["Action"])
        assert all(re.fullmatch(r"s3:[A-Z][A-Za-z]+", action) for action in _listed(statement["Action"]))
        assert all(_ARN.fullmatch(resource) for resource in _listed(statement["Resource"]))
        for operator, conditions in statement.get("Condition", {}).items():
            assert operator == "StringLike"
            assert set(conditions) == {"s3:prefix"}


def allows(policy: str, action: str, resource: str, **context: str) -> bool:
    """Whether a request is allowed. ``context`` has the condition's keys: ``prefix`` is ``s3:prefix``."""
    effects = {
        statement["Effect"]
        for statement in json.loads(policy)["Statement"]
        if action in _listed(statement["Action"])
        and any(_matches(pattern, resource) for pattern in _listed(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context)
    }
    return effects == {"Allow"}


def _holds(condition: dict[str, Any], context: dict[str, str]) -> bool:
    """All of them must hold, and a key that the request doesn't have makes `StringLike` false."""
    named = [(name.removeprefix("s3:"), wanted) for name, wanted in condition.get("StringLike", {}).items()]
    return all(
        name in context and any(_matches(one, context[name]) for one in _listed(wanted)) for name, wanted in named
    )


def _matches(pattern: str, value: str) -> bool:
    expression = ""
    for escaped, variable, wild, plain in _TOKEN.findall(pattern):
        assert not variable, f"{variable} is a variable that nobody knows"
        expression += {"*": ".*", "?": "."}.get(wild) or re.escape(escaped or plain)
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
