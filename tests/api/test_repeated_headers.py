"""A header that comes twice counts as a whole, not as the one of its values that somebody before us didn't look at."""

import pytest

from tests.support.gateway import send
from tests.support.matrix import World


@pytest.mark.parametrize(
    "order", [("owner", "stranger"), ("stranger", "owner"), ("owner", "owner"), ("garbage", "owner")]
)
def test_two_tokens_name_nobody(world: World, order: tuple[str, str]) -> None:
    first, last = (str(world.askers[asker]) for asker in order)
    # As API Gateway tells it: `headers` has the last value.
    told = {"headers": {"Authorization": last}, "multiValueHeaders": {"Authorization": [first, last]}}
    assert send("GET", "/api/me", **told)["statusCode"] == 401
    alone = {"headers": {"Authorization": last}, "multiValueHeaders": {"Authorization": [last]}}
    assert send("GET", "/api/me", **alone)["statusCode"] == 200


def test_two_tokens_in_one_request_under_two_spellings_name_nobody(world: World) -> None:
    told = {"headers": {}, "multiValueHeaders": {"authorization": [str(world.askers["owner"]), "Bearer x"]}}
    assert send("GET", "/api/me", **told)["statusCode"] == 401
