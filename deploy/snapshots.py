"""SnapStart: the API's function begins as a copy of a process that has started already.

Lambda takes a snapshot of published versions only, and keeps with a version the environment that the function had then. So with
SnapStart each deployment publishes a version. See docs/decisions/0025-cold-starts.md.
"""

import json
from collections.abc import Mapping
from hashlib import scrypt

from deploy.artifacts import Artifacts
from deploy.cloud import Cloud
from deploy.problem import DeployProblem

_OLDEST_PYTHON = (3, 12)


def named_release(cloud: Cloud, artifacts: Artifacts, parameters: Mapping[str, str]) -> dict[str, str]:
    """The parameter that names code and ``parameters`` together, so that either alone makes a new version.

    Nothing without SnapStart.

    Raises:
        DeployProblem: SnapStart was asked for, and these functions' Python is too old for it.
    """
    known = artifacts.parameters
    effective = {name: parameters.get(name, default) for name, default in known.items() if name != "Release"}
    if "Release" not in known or effective.get("WithSnapStart") != "true":
        return {}
    version = tuple(int(part) for part in artifacts.runtime.removeprefix("python").split("."))
    # An emulator takes no snapshots, with any Python.
    if cloud.endpoint is None and version < _OLDEST_PYTHON:
        raise DeployProblem(
            f"WithSnapStart needs functions of Python 3.12 or newer, and these were packaged with {artifacts.runtime}; nothing "
            "was changed. Functions run on the Python that packages them: make .venv anew with PYTHON=python3.13."
        )
    named = json.dumps([artifacts.template_url, sorted(effective.items())]).encode()
    # Anybody who may describe the stack sees it, and the address of the database, with its password, is among the parameters. So
    # trying passwords against it takes a tenth of a second each.
    return {"Release": scrypt(named, salt=b"landfall", n=2**15, r=8, p=1, maxmem=2**26, dklen=8).hex()}
