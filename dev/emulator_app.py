"""ministack, with two things mended: what the disk can't hold is refused, and a form's answer says where the object is.

ministack 1.5 keeps an object that it can't write in its memory, logs a warning and answers 200; at its next start the object is
gone (services/s3.py, `_persist_object`). Here a request is refused before anything is done if its bytes would leave less free
than ``LANDFALL_DISK_RESERVE_BYTES``, and its answer is a refusal if a write failed all the same.

The ``Location`` that it answers to a form names a host of AWS's (`_post_object`); Uppy 5 hands that on as ``uploadURL``.

Runs in the emulator's environment, where nothing else of ours is: ``python -I emulator_app.py``.
"""

import os
import shutil
from contextvars import ContextVar
from typing import Any

from ministack import app as ministack
from ministack.services import s3

_RESERVE = int(os.environ["LANDFALL_DISK_RESERVE_BYTES"])
_BODY = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>InsufficientStorage</Code>'
    b"<Message>The disk of this machine is full; the object was not kept.</Message></Error>"
)
# What could not be written, by the request at hand.
_failures: ContextVar[list[OSError]] = ContextVar("failures")
_emulate, _write = ministack.app, s3._atomic_write


async def app(scope: Any, receive: Any, send: Any) -> None:
    """The ASGI application in place of ministack's own."""
    if scope["type"] != "http":
        return await _emulate(scope, receive, send)
    if _brings_bytes(scope) and shutil.disk_usage(s3.DATA_DIR).free - _length(scope) < _RESERVE:
        return await _refuse(send)
    failures: list[OSError] = []
    _failures.set(failures)
    start: Any = None
    refused = False

    async def send_truth(message: Any) -> None:
        nonlocal start, refused
        if refused:
            return
        if failures:
            refused = True
            await _refuse(send)
        elif not _is_form(scope):
            await send(message)
        elif message["type"] == "http.response.start":
            start = message
        else:
            for part in _located(scope, start, message):
                await send(part)

    await _emulate(scope, receive, send_truth)


def _is_form(scope: Any) -> bool:
    content_type = dict(scope["headers"]).get(b"content-type", b"")
    return bool(scope["method"] == "POST" and content_type.startswith(b"multipart/form-data"))


def _brings_bytes(scope: Any) -> bool:
    """Whether it is a request to S3 that an object is made of. Queues and the rest have no use for PUT."""
    completes = scope["method"] == "POST" and b"uploadId=" in scope["query_string"]
    return scope["method"] == "PUT" or _is_form(scope) or completes


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
    # The body of the request is not read: the connection can't be used again.
    headers = [
        (b"content-type", b"application/xml"),
        (b"content-length", b"%d" % len(_BODY)),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 507, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})


os.makedirs(s3.DATA_DIR, exist_ok=True)
ministack.app, s3._atomic_write = app, _write_or_tell
ministack.main()
