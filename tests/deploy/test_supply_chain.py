"""What is packaged is named in a bill of materials, and what is known against it is looked at, or stops CI."""

import json
from datetime import date
from pathlib import Path

import pytest

from deploy.lock import pins
from deploy.packaging import LOCK
from deploy.supply_chain import ACCEPTED, Advisory, Audit, audit_dependencies, read_audit, unaccepted, write_sbom

_TODAY = date(2026, 12, 1)
_FOUND = Advisory("PYSEC-2026-1", ("CVE-2026-1", "GHSA-1"), "library", "1.0", ("1.1",))


def test_the_bill_of_materials_names_every_pin_with_its_hashes(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first.json", "second.json")]
    for path in paths:
        write_sbom(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()

    bill = json.loads(paths[0].read_text())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    assert {one["name"].lower().replace("_", "-"): one["version"] for one in bill["components"]} == pins(LOCK)
    assert all("sha256" in json.dumps(one).lower().replace("-", "") for one in bill["components"])


@pytest.mark.parametrize("name", ["PYSEC-2026-1", "CVE-2026-1", "GHSA-1"])
def test_an_advisory_is_accepted_by_any_of_its_names_with_a_reason_and_for_a_time(name: str, tmp_path: Path) -> None:
    path = tmp_path / "accepted.json"

    def left(**entry: str) -> list[Advisory]:
        path.write_text(json.dumps([{"id": name, "why": "It is never called.", "until": "2027-01-01"} | entry]))
        return unaccepted([_FOUND], _TODAY, path)

    assert left() == []
    assert left(until="2026-12-01") == []
    assert left(until="2026-11-30") == left(why="") == left(id="CVE-2026-2") == [_FOUND]
    assert str(_FOUND) == "library 1.0: PYSEC-2026-1; mended in 1.1"


def test_each_accepted_advisory_says_why_and_until_when() -> None:
    for entry in json.loads(ACCEPTED.read_text()):
        assert set(entry) == {"id", "why", "until"}
        assert entry["why"]
        date.fromisoformat(entry["until"])


def test_a_service_of_advisories_that_is_away_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert audit_dependencies() is None


def test_a_package_that_could_not_be_looked_up_is_not_taken_for_a_good_one() -> None:
    vulnerability = {"id": _FOUND.id, "aliases": list(_FOUND.aliases), "fix_versions": ["1.1"], "description": ""}
    bad = {"name": "library", "version": "1.0", "vulns": [vulnerability]}
    unknown = {"name": "other", "skip_reason": "Dependency not found"}
    assert read_audit(json.dumps({"dependencies": [bad, unknown]})) == Audit((_FOUND,), ("other",))
    assert read_audit(json.dumps({"dependencies": [unknown]})) is None
