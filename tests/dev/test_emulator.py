"""The emulator keeps what it says it keeps."""

import io
import json
import resource
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from botocore.exceptions import ClientError

from chalicelib.catalog.changes import Kind, ObjectChange
from chalicelib.catalog.notifications import parse_message
from dev.emulator import Emulator
from dev.infra import client
from dev.ports import free_port
from tests.support.aws import make_bucket, s3_client, send_events, take_messages


@contextmanager
def _emulator(home: Path, **options: Any) -> Iterator[Emulator]:
    emulator = Emulator(home, free_port(), **options)
    try:
        emulator.start()
        yield emulator
    finally:
        emulator.stop()


def _refused(request: Callable[[], Any]) -> None:
    with pytest.raises(ClientError, match="disk of this machine is full") as caught:
        request()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
    assert caught.value.response["Error"]["Code"] == "InsufficientStorage"


def test_a_full_disk_refuses_bytes_and_nothing_else(tmp_path: Path) -> None:
    with _emulator(tmp_path) as emulator:
        s3_client(emulator.url).create_bucket(Bucket="full")
        s3_client(emulator.url).put_object(Bucket="full", Key="kept", Body=b"kept")
    with _emulator(tmp_path, reserve_bytes=2**62) as emulator:
        s3, sqs = s3_client(emulator.url), client("sqs", emulator.url)
        _refused(lambda: s3.put_object(Bucket="full", Key="lost", Body=b"lost"))

        upload = s3.create_multipart_upload(Bucket="full", Key="parts")["UploadId"]
        _refused(lambda: s3.upload_part(Bucket="full", Key="parts", UploadId=upload, PartNumber=1, Body=b"lost"))
        assert s3.get_object(Bucket="full", Key="kept")["Body"].read() == b"kept"
        assert [item["Key"] for item in s3.list_objects_v2(Bucket="full")["Contents"]] == ["kept"]

        s3.delete_object(Bucket="full", Key="kept")
        queue = sqs.create_queue(QueueName="still-there")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="told")

        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "told"


def test_the_answer_to_a_form_says_where_its_object_is(tmp_path: Path) -> None:
    with _emulator(tmp_path) as emulator:
        s3 = s3_client(emulator.url)
        s3.create_bucket(Bucket="forms")
        wanted = {"success_action_status": "201"}
        form = s3.generate_presigned_post("forms", "a/ü.txt", Fields=dict(wanted), Conditions=[wanted])
        fields = {**form["fields"], "file": ("ü.txt", b"hello")}

        answer = urllib3.request("POST", form["url"], fields=fields, retries=False)
        assert answer.status == 201
        assert answer.headers["Location"] == f"{emulator.url}/forms/a/%C3%BC.txt"
        assert answer.headers["Location"] in answer.data.decode()


def test_an_object_that_could_not_be_written_is_removed_and_its_events_say_so(tmp_path: Path) -> None:
    """As when others fill the disk meanwhile; here by a limit on the size of files."""
    with _emulator(tmp_path) as emulator:
        s3, sqs = s3_client(emulator.url), client("sqs", emulator.url)
        _versioned_bucket_with_events(s3, sqs, "limited")
        s3.put_object(Bucket="limited", Key="source", Body=b"x" * 200_000)
        for key in ("put", "copy", "parts", "form/ü"):
            s3.put_object(Bucket="limited", Key=key, Body=b"good")
        upload = s3.create_multipart_upload(Bucket="limited", Key="parts")["UploadId"]
        whole = {"Bucket": "limited", "Key": "parts", "UploadId": upload}
        part = s3.upload_part(**whole, PartNumber=1, Body=b"x" * 200_000)
        psutil.Process(emulator.child.pid).rlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))

        _refused(lambda: s3.put_object(Bucket="limited", Key="put", Body=b"x" * 200_000))
        _refused(lambda: s3.copy_object(Bucket="limited", Key="copy", CopySource="limited/source"))
        parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        _refused(lambda: s3.complete_multipart_upload(**whole, MultipartUpload=parts))
        form = s3.generate_presigned_post("limited", "form/ü")
        fields = {**form["fields"], "file": ("x", b"x" * 200_000)}
        assert urllib3.request("POST", form["url"], fields=fields, retries=False).status == 507
        s3.put_object(Bucket="limited", Key="small", Body=b"x")

        sizes = {item["Key"]: item["Size"] for item in s3.list_objects_v2(Bucket="limited")["Contents"]}
        assert sizes == {"source": 200_000, "put": 4, "copy": 4, "parts": 4, "form/ü": 4, "small": 1}
        alive = _alive_by_events(sqs)
        listed = s3.list_object_versions(Bucket="limited")["Versions"]
        assert alive == {(item["Key"], item["VersionId"]) for item in listed}
    with _emulator(tmp_path) as emulator:
        again = {
            item["Key"]: item["Size"] for item in s3_client(emulator.url).list_objects_v2(Bucket="limited")["Contents"]
        }
        assert again == sizes


def test_a_page_of_another_origin_may_read_that_the_disk_is_full(tmp_path: Path) -> None:
    with _emulator(tmp_path, reserve_bytes=2**62) as emulator:
        s3 = s3_client(emulator.url)
        s3.create_bucket(Bucket="full")
        url = s3.generate_presigned_url("put_object", Params={"Bucket": "full", "Key": "k"})

        answer = urllib3.request("PUT", url, body=b"x" * 8_000_000, headers={"Origin": "http://page"}, retries=False)
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (507, "*")

        # What makes no object goes on working.
        s3.put_bucket_versioning(Bucket="full", VersioningConfiguration={"Status": "Enabled"})


def test_versions_of_any_key_can_be_listed(tmp_path: Path) -> None:
    keys = ["a\x01b", "a b+c", "ü/🎉", "line\nbreak", "100%25"]
    with _emulator(tmp_path) as emulator:
        s3 = s3_client(emulator.url)
        make_bucket(s3, "odd", versioned=True)
        for key in keys:
            s3.put_object(Bucket="odd", Key=key, Body=b"x")

        pages = s3.get_paginator("list_object_versions").paginate(Bucket="odd", PaginationConfig={"PageSize": 2})
        assert sorted(item["Key"] for page in pages for item in page["Versions"]) == sorted(keys)


def _versioned_bucket_with_events(s3: Any, sqs: Any, bucket: str) -> None:
    make_bucket(s3, bucket, versioned=True)
    url = sqs.create_queue(QueueName="events")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    send_events(s3, bucket, arn)


def _alive_by_events(sqs: Any) -> set[tuple[str, str]]:
    """Keys and version ids that were put and not removed, by what the queue tells."""
    url, put, removed = sqs.get_queue_url(QueueName="events")["QueueUrl"], set(), set()
    for message in take_messages(sqs, url, wait_seconds=1):
        for change in parse_message(message):
            assert isinstance(change, ObjectChange)
            (put if change.kind is Kind.PUT else removed).add((change.key, change.version_id))
    return put - removed


def test_a_layer_is_unpacked_once_and_each_version_by_itself(tmp_path: Path) -> None:
    with _emulator(tmp_path) as emulator:
        functions = client("lambda", emulator.url)

        def publish(value: int) -> str:
            content = {"ZipFile": _zipped("python/layered.py", f"value = {value}\n")}
            return str(functions.publish_layer_version(LayerName="layered", Content=content)["LayerVersionArn"])

        def answer_of_a_new_process(layers: list[str]) -> Any:
            functions.update_function_configuration(FunctionName="reader", Layers=layers)
            return json.load(functions.invoke(FunctionName="reader")["Payload"])

        code = "import os, layered\nhandler = lambda event, context: [layered.value, layered.__file__, os.getpid()]\n"
        functions.create_function(
            FunctionName="reader", Runtime="python3.12", Role="arn:aws:iam::000000000000:role/any",
            Handler="reader.handler", Code={"ZipFile": _zipped("reader.py", code)}, Layers=[],
        )  # fmt: skip
        first, second = publish(1), publish(2)
        one, again, other = (answer_of_a_new_process([layer]) for layer in (first, first, second))
        assert (one[0], again[0], other[0]) == (1, 1, 2)
        assert one[1] == again[1] != other[1]
        assert len({one[2], again[2], other[2]}) == 3
        assert "layered" in answer_of_a_new_process([])["errorMessage"]


def _zipped(name: str, text: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, text)
    return content.getvalue()
