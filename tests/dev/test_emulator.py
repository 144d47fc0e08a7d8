"""The emulator keeps what it says it keeps."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3
from botocore.exceptions import ClientError

from dev.emulator import Emulator
from dev.infra import client
from dev.ports import free_port


@contextmanager
def _emulator(home: Path, **options: Any) -> Iterator[Emulator]:
    emulator = Emulator(home, free_port(), **options)
    try:
        emulator.start()
        yield emulator
    finally:
        emulator.stop()


def _s3(emulator: Emulator) -> Any:
    return client("s3", emulator.url, s3={"addressing_style": "path"})


def _refused(request: Callable[[], Any]) -> None:
    with pytest.raises(ClientError, match="disk of this machine is full") as caught:
        request()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 507
    assert caught.value.response["Error"]["Code"] == "InsufficientStorage"


def test_a_full_disk_refuses_bytes_and_nothing_else(tmp_path: Path) -> None:
    with _emulator(tmp_path) as emulator:
        _s3(emulator).create_bucket(Bucket="full")
        _s3(emulator).put_object(Bucket="full", Key="kept", Body=b"kept")
    with _emulator(tmp_path, reserve_bytes=2**62) as emulator:
        s3, sqs = _s3(emulator), client("sqs", emulator.url)
        _refused(lambda: s3.put_object(Bucket="full", Key="lost", Body=b"lost"))
        upload = s3.create_multipart_upload(Bucket="full", Key="parts")["UploadId"]
        _refused(lambda: s3.upload_part(Bucket="full", Key="parts", UploadId=upload, PartNumber=1, Body=b"lost"))
        assert s3.get_object(Bucket="full", Key="kept")["Body"].read() == b"kept"
        assert [item["Key"] for item in s3.list_objects_v2(Bucket="full")["Contents"]] == ["kept"]
        s3.delete_object(Bucket="full", Key="kept")
        queue = sqs.create_queue(QueueName="still-there")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="told")
        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "told"


def test_a_form_is_told_where_its_object_is(tmp_path: Path) -> None:
    with _emulator(tmp_path) as emulator:
        s3 = _s3(emulator)
        s3.create_bucket(Bucket="forms")
        wanted = {"success_action_status": "201"}
        form = s3.generate_presigned_post("forms", "a/ü.txt", Fields=dict(wanted), Conditions=[wanted])
        fields = {**form["fields"], "file": ("ü.txt", b"hello")}
        answer = urllib3.request("POST", form["url"], fields=fields, retries=False)
        assert answer.status == 201
        assert answer.headers["Location"] == f"{emulator.url}/forms/a/%C3%BC.txt"
        assert answer.headers["Location"] in answer.data.decode()


def test_what_could_not_be_written_is_not_said_to_be_kept(tmp_path: Path) -> None:
    """As when others fill the disk meanwhile; here by a limit on the size of files."""
    with _emulator(tmp_path) as emulator:
        s3 = _s3(emulator)
        s3.create_bucket(Bucket="limited")
        psutil.Process(emulator.child.pid).rlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
        _refused(lambda: s3.put_object(Bucket="limited", Key="large", Body=b"x" * 200_000))
        s3.put_object(Bucket="limited", Key="small", Body=b"x")
