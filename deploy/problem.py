"""What goes wrong for reasons that an operator can mend."""


class DeployProblem(Exception):
    """Ends the command; ``str`` is what the operator reads: what happened, what was left as it was, what to do."""
