"""Temporary credentials: where STS is, and what its refusals mean."""

import pytest
from botocore.stub import Stubber

from chalicelib.errors import Refused, Unprocessable
from chalicelib.store.connection import connect_sts
from chalicelib.store.credentials import CredentialIssuer

ROLE = "arn:aws:iam::000000000000:role/landfall-credentials"
REQUEST = (ROLE, "ada", "{}", 900)


@pytest.mark.parametrize(
    ("region", "url"),
    [
        ("us-east-1", "https://sts.us-east-1.amazonaws.com"),
        ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
        ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_the_regions_own_sts_is_asked_which_alone_has_an_endpoint_in_a_vpc(region: str, url: str) -> None:
    assert connect_sts(region, None).meta.endpoint_url == url
    assert connect_sts(region, "http://127.0.0.1:4566").meta.endpoint_url == "http://127.0.0.1:4566"


def test_what_sts_refuses_is_our_fault_unless_the_prefix_is_too_long() -> None:
    client = connect_sts("us-east-1", "http://127.0.0.1:9")
    with Stubber(client) as sts:
        sts.add_client_error("assume_role", "PackedPolicyTooLarge", http_status_code=400)
        sts.add_client_error("assume_role", "AccessDenied", http_status_code=403)
        with pytest.raises(Unprocessable):
            CredentialIssuer(client).assume(*REQUEST)
        with pytest.raises(Refused) as refused:
            CredentialIssuer(client).assume(*REQUEST)
    assert refused.value.code == "AccessDenied"
