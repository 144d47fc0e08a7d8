"""ministack, with five things mended: what the disk can't hold is refused, a form's answer says where the object is, versions of
keys with control characters can be listed, a copy's conditions on its destination count, and layers are unpacked once.

ministack 1.5 keeps an object that it can't write in its memory, logs a warning and answers 200; at its next start the
object is gone (services/s3.py, `_persist_object`). Here a request is refused before anything is done if its bytes would
leave less free than ``LANDFALL_DISK_RESERVE_BYTES``. If a write fails nevertheless, the version that was made is
removed again, its events tell so, and the answer is a refusal. (Without versions, the object that it replaced is back
at the next start.)

ministack answers a form with a ``Location`` at a host of AWS (`_post_object`), and Uppy 5 hands that on as
``uploadURL``.

A listing of versions writes keys as they are, whatever ``encoding-type`` asks for: one control character spoils all of it.

At each start of a function ministack unpacks its layers. Lambda has them unpacked, as they are here from the second start on.

This runs in the emulator's environment, without the rest of Landfall: ``python -I emulator_app.py``.
"""

import io
import os
import shutil
import tempfile
import zipfile
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote, unquote

from ministack import app as ministack
from ministack.core import lambda_runtime
from ministack.services import lambda_svc, s3

_RESERVE = int(os.environ["LANDFALL_DISK_RESERVE_BYTES"])
_ABOUT_OBJECTS = {b"tagging", b"acl", b"retention", b"legal-hold"}
_DRAINED_BYTES = 16 * 1024**2
# The failed writes of the present request.
_failures: ContextVar[list[OSError]] = ContextVar("failures")
_emulate, _write, _list_versions, _element = ministack.app, s3._atomic_write, s3._list_object_versions, s3.SubElement
_start_function, _layers, _unpacking = lambda_runtime.Worker._spawn, Path(tempfile.gettempdir()) / "layers", Lock()


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application in place of ministack's own."""
    if scope["type"] != "http":
        await _emulate(scope, receive, send)
        return
    if _brings_bytes(scope) and shutil.disk_usage(s3.DATA_DIR).free - _length(scope) < _RESERVE:
        await _drain(receive)
        await _refuse(send)
        return
    if await _forbids_copy(scope):
        await _answer(send, 412, "PreconditionFailed", "At least one of the preconditions you specified did not hold.")
        return
    failures: list[OSError] = []
    _failures.set(failures)
    start: Any = None
    is_refused = False

    async def send_truth(message: Any) -> None:
        nonlocal start, is_refused
        if is_refused:
            return
        if failures:
            is_refused = True
            await _take_back(scope, message)
            await _refuse(send)
        elif not _is_form(scope):
            await send(message)
        elif message["type"] == "http.response.start":
            start = message
        else:
            for part in _located(scope, start, message):
                await send(part)

    await _emulate(scope, receive, send_truth)


async def _forbids_copy(scope: Any) -> bool:
    """Whether a copy's condition on its destination doesn't hold. ministack itself ignores such conditions."""
    headers = dict(scope["headers"])
    if scope["method"] != "PUT" or b"x-amz-copy-source" not in headers or b"partNumber=" in scope["query_string"]:
        return False
    absent, same = headers.get(b"if-none-match"), headers.get(b"if-match")
    if absent is None and same is None:
        return False
    answer = await _ask({**scope, "method": "HEAD", "query_string": b"", "headers": _identity(scope)})
    is_there, etag = answer["status"] == 200, dict(answer["headers"]).get(b"etag", b"")
    return (absent is not None and is_there) or (
        same is not None and not (is_there and etag.strip(b'"') == same.strip(b'"'))
    )


async def _ask(request: Any) -> Any:
    """The head of ministack's answer to a request of our own, without a body."""
    answers: list[Any] = []

    async def nothing() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: Any) -> None:
        answers.append({**message, "headers": [(name.lower(), value) for name, value in message.get("headers", [])]})

    await _emulate(request, nothing, keep)
    return answers[0]


def _identity(scope: Any) -> list[Any]:
    return [(name, value) for name, value in scope["headers"] if name in (b"host", b"authorization")]


async def _take_back(scope: Any, start: Any) -> None:
    """Remove the version that an answer tells of."""
    headers = {name.lower(): value for name, value in start.get("headers", [])}
    version = headers.get(b"x-amz-version-id", b"")
    if not version:
        return
    removal = {**scope, "method": "DELETE", "query_string": b"versionId=" + version}
    if _is_form(scope):
        key = headers[b"location"].partition(b".s3.amazonaws.com/")[2].decode()
        removal["path"] = f"/{scope['path'].strip('/')}/{unquote(key)}"
        removal["raw_path"] = f"/{scope['path'].strip('/')}/{key}".encode()
    removal["headers"] = _identity(scope)
    await _ask(removal)


async def _drain(receive: Any) -> None:
    """Read a body and drop it, because a client may have to send it before it reads the answer."""
    taken = 0
    while taken < _DRAINED_BYTES:
        message = await receive()
        taken += len(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return


def _is_form(scope: Any) -> bool:
    content_type = dict(scope["headers"]).get(b"content-type", b"")
    return bool(scope["method"] == "POST" and content_type.startswith(b"multipart/form-data"))


def _brings_bytes(scope: Any) -> bool:
    """Whether a request to S3 brings the bytes of an object, and isn't about a bucket or about an object's tags."""
    asked = {part.partition(b"=")[0] for part in scope["query_string"].split(b"&") if part}
    if scope["method"] == "PUT":
        return b"/" in scope["path"].strip("/").encode() and not asked & _ABOUT_OBJECTS
    return _is_form(scope) or (scope["method"] == "POST" and b"uploadId" in asked)


def _located(scope: Any, start: Any, message: Any) -> tuple[Any, Any]:
    """An answer to a form, with the URL at which this emulator has the object. Forms go to ``/{bucket}``."""
    bucket = scope["path"].strip("/").encode()
    theirs = b"http://" + bucket + b".s3.amazonaws.com/"
    ours = b"http://" + dict(scope["headers"]).get(b"host", b"") + b"/" + bucket + b"/"
    body = message.get("body", b"").replace(theirs, ours)
    kept = [(name, value) for name, value in start["headers"] if name.lower() != b"content-length"]
    headers = [(name, value.replace(theirs, ours)) for name, value in kept]
    return {**start, "headers": [*headers, (b"content-length", b"%d" % len(body))]}, {**message, "body": body}


def _length(scope: Any) -> int:
    length = dict(scope["headers"]).get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


def _write_or_tell(*arguments: Any, **options: Any) -> None:
    try:
        _write(*arguments, **options)
    except OSError as error:
        _failures.get([]).append(error)
        raise


async def _refuse(send: Any) -> None:
    await _answer(send, 507, "InsufficientStorage", "The disk of this machine is full; the object was not kept.")


async def _answer(send: Any, status: int, code: str, message: str) -> None:
    """An error in S3's shape, which a page can read."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'.encode()
    headers = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-expose-headers", b"*"),
        (b"content-type", b"application/xml"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _list_encoded_versions(bucket: str, query: Any) -> Any:
    """ministack's own listing, with its keys percent-encoded if that is asked for, as boto3 always does."""
    if query.get("encoding-type") not in ("url", ["url"]):
        return _list_versions(bucket, query)
    s3.SubElement = _encoding_element  # nothing else runs meanwhile, because the listing doesn't wait for anything
    try:
        return _list_versions(bucket, query)
    finally:
        s3.SubElement = _element


def _encoding_element(parent: Any, tag: str) -> Any:
    element = _element(parent, tag)
    if tag == "MaxKeys":
        _element(parent, "EncodingType").text = "url"
    return _Encoded(element) if tag in ("Key", "Prefix", "KeyMarker", "NextKeyMarker", "Delimiter") else element


class _Encoded:
    """An element whose text is percent-encoded as it is set."""

    def __init__(self, element: Any) -> None:
        self.__dict__["_element"] = element

    def __setattr__(self, name: str, value: str) -> None:
        setattr(self._element, name, quote(value, safe="/") if name == "text" and value else value)


def _start_with_layers(worker: Any) -> None:
    """ministack's own start of a function, with its layers unpacked before. It looks for them where a variable says."""
    config = worker.config
    if not config["Runtime"].startswith("python"):
        _start_function(worker)
        return
    with _unpacking:
        layers = [_unpacked(layer["Arn"]) for layer in config.get("Layers", [])]
    variables = config.get("Environment", {}).get("Variables", {}) | {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(layers)}
    worker.config = config | {"Layers": [], "Environment": {"Variables": variables}}
    try:
        _start_function(worker)
    finally:
        worker.config = config


@cache
def _unpacked(arn: str) -> str:
    """The folder of a layer's version, which never changes."""
    content = lambda_svc._resolve_layer_zip({"Arn": arn})
    if content is None:
        return ""  # ministack, too, starts a function without a layer that isn't there
    folder = tempfile.mkdtemp(dir=_layers)
    zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
    return folder


os.makedirs(s3.DATA_DIR, exist_ok=True)
shutil.rmtree(_layers, ignore_errors=True)
_layers.mkdir()
lambda_runtime.Worker._spawn = _start_with_layers
ministack.app, s3._atomic_write, s3._list_object_versions = app, _write_or_tell, _list_encoded_versions
ministack.main()
