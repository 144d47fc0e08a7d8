"""Where requests come from, if a CDN is in front: it says so, and proves that it is the one that is meant."""

from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.identified import Service, published_service

SECRET = "a-secret-that-the-cdn-shows-to-the-api"
CDN = "198.51.100.1"
BURST = 3


@pytest.fixture(params=[True, False], ids=["proving", "no secret set"])
def proves(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def service(new_migrated_database: Callable[[], str], tmp_path: Path, proves: bool) -> Iterator[Service]:
    limits = {"LANDFALL_REQUESTS_PER_SECOND": "0.0001", "LANDFALL_REQUEST_BURST": str(BURST)}
    known = {"LANDFALL_CDN_SECRET_HASH": sha256(SECRET.encode()).hexdigest()} if proves else {}
    with published_service(new_migrated_database(), tmp_path, **limits, **known) as service:
        yield service


def fail(service: Service, viewer: str, secret: str | None = SECRET) -> int:
    """Sign in with nothing that is good, through the CDN; says the status."""
    headers = {"X-Landfall-Viewer": viewer} | ({} if secret is None else {"X-Landfall-Cdn": secret})
    return int(service.ask("Bearer garbage", address=CDN, headers=headers)["statusCode"])


def test_failures_count_by_viewer_only_if_the_cdn_proves_itself(service: Service, proves: bool) -> None:
    assert [fail(service, "192.0.2.1") for _ in range(BURST + 1)] == [401] * BURST + [429]
    assert fail(service, "192.0.2.2") == (401 if proves else 429)


@pytest.mark.parametrize("proves", [True], indirect=True)
@pytest.mark.parametrize("secret", [None, "", "wrong", f"{SECRET}, {SECRET}", "\u00fc"])
def test_a_viewer_that_anybody_could_name_is_none(service: Service, secret: str | None) -> None:
    said = [fail(service, f"192.0.2.{number}", secret) for number in range(BURST + 1)]
    assert said == [401] * BURST + [429], "all of these came from one address"


@pytest.mark.parametrize("proves", [True], indirect=True)
def test_a_household_has_one_address_of_ipv6(service: Service) -> None:
    said = [fail(service, f"2001:db8::{number}") for number in range(BURST + 1)]
    assert said == [401] * BURST + [429]
    assert fail(service, "2001:db8:0:1::1") == 401
