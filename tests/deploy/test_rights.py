"""Who may do what to objects: links sign, and what removes bytes permanently stays inside."""

from typing import Any

import boto3
from botocore.config import Config

from chalicelib.store.links import Links
from tests.support.templates import Template, as_list, bucket_statement, statements_of

# What each signed request needs, by the "Service Authorization Reference" for S3.
_NEEDS = {
    "GetObject": {"s3:GetObject", "s3:GetObjectVersion"},
    "PutObject": {"s3:PutObject"},
    "CreateMultipartUpload": {"s3:PutObject"},
    "UploadPart": {"s3:PutObject"},
    "CompleteMultipartUpload": {"s3:PutObject"},
    "ListParts": {"s3:ListMultipartUploadParts"},
    "AbortMultipartUpload": {"s3:AbortMultipartUpload"},
    "DeleteObject": {"s3:DeleteObject"},
}


def test_bytes_are_removed_permanently_from_inside_the_network_only(native: Template) -> None:
    found = [
        (name, statement)
        for name, statement in statements_of(native)
        if "s3:DeleteObjectVersion" in as_list(statement["Action"])
    ]
    assert {name for name, _ in found} == {"RunJobsRole", "WorkRole", "RemovesInExtraBuckets"}
    for name, statement in found:
        assert as_list(statement["Action"]) == ["s3:DeleteObjectVersion"], name
        own, inside, otherwise = statement["Condition"]["Fn::If"]
        assert (own, otherwise) == ("OwnDatabase", {"Ref": "AWS::NoValue"})
        assert inside == {"StringEquals": {"aws:SourceVpce": {"Ref": "S3Endpoint"}}}


# A call of each method of `Links` that signs something; `location` answers a URL without any right.
_CALLS: dict[str, tuple[Any, ...]] = {
    "download": ("version", "name", None, 60),
    "put": (1, None, None, 60),
    "post": (1, 2, None, None, 60),
    "create_multipart": (None, 60),
    "part": ("upload", 1, None, 60),
    "list_parts": ("upload", 60),
    "complete_multipart": ("upload", 60),
    "abort_multipart": ("upload", 60),
    "delete": (60,),
}


def test_links_may_do_what_landfall_signs_and_nothing_else(native: Template) -> None:
    denied = bucket_statement(native, "LinksOnlyForFiles")
    assert (denied["Effect"], denied["Principal"]) == ("Deny", "*")
    assert denied["Condition"] == {"StringEquals": {"s3:authType": ["REST-QUERY-STRING", "POST"]}}
    needed = {right for operation in _signed_operations() for right in _NEEDS[operation]}
    assert set(denied["NotAction"]) == needed
    assert "s3:DeleteObjectVersion" not in needed


def _signed_operations() -> set[str]:
    """The operations of S3 that `Links` signs."""
    signed = set[str]()
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(signature_version="s3v4"),
    )
    client.meta.events.register("provide-client-params.s3", lambda model, **_: signed.add(model.name))
    links = Links(client)
    assert {name for name in vars(Links) if not name.startswith("_")} == {*_CALLS, "location"}
    for name, arguments in _CALLS.items():
        getattr(links, name)("bucket", "key", *arguments)
    # What botocore takes a form for, to find the endpoint. A form is a PutObject.
    return signed - {"CreateBucket"} | {"PutObject"}
