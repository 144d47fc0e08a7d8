"""What CloudFormation takes at all, and what a deployment has without being asked."""

import json
import re

from deploy.packaging import Package
from tests.support.templates import Template


def test_the_template_is_small_enough_for_cloudformation(packaged: Package, native: Template) -> None:
    assert packaged.template.stat().st_size < 1_000_000
    assert len(json.dumps(native)) < 1_000_000
    assert len(native["Resources"]) < 500
    assert len(native["Parameters"]) < 200


def test_the_template_has_no_null_which_cloudformation_refuses(native: Template) -> None:
    assert not re.search(r"(: |, |\[)null\b", json.dumps(native))


def test_every_user_has_a_rate_unless_the_deployment_says_otherwise(native: Template) -> None:
    parameters = native["Parameters"]
    assert (parameters["RequestsPerSecond"]["Default"], parameters["RequestBurst"]["Default"]) == (20, 200)
    assert parameters["Waits"]["Default"] > parameters["WaitsPerUser"]["Default"] > 0
    named = {
        "LANDFALL_REQUESTS_PER_SECOND": "RequestsPerSecond",
        "LANDFALL_REQUEST_BURST": "RequestBurst",
        "LANDFALL_WAITS_PER_USER": "WaitsPerUser",
        "LANDFALL_WAITS": "Waits",
        "LANDFALL_JOBS_PER_USER": "JobsPerUser",
        "LANDFALL_TRAIL_DAYS": "TrailDays",
    }
    variables = native["Resources"]["APIHandler"]["Properties"]["Environment"]["Variables"]
    assert {name: variables[name] for name in named} == {name: {"Ref": parameter} for name, parameter in named.items()}
