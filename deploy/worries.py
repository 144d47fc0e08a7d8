"""What an operator should know about a stage that is up, and works all the same."""

from collections.abc import Mapping


def worries(parameters: Mapping[str, str]) -> list[str]:
    """A sentence for each thing that somebody should mend. ``parameters``: the stack's, hidden ones as stars."""
    found = []
    if not parameters.get("AlarmEmail"):
        found.append('Warning: alarms go to nobody. PARAMETERS="AlarmEmail=…" names somebody.')
    if parameters.get("DatabaseUrl") and parameters.get("DatabaseLogin", "password") == "password":
        found.append(
            "Warning: who may read the functions' configuration reads the database's password. DatabaseLogin=secret and "
            "DatabaseSecretArn keep it in Secrets Manager; docs/operations.md says how."
        )
    return found
