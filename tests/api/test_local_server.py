"""What is changed of ``chalice local``'s server: an answer leaves whole, and a client that waits is told to go on."""

import json
import socket

from tests.support.api import Api


def _head(link: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        part = link.recv(1)
        assert part, received
        received += part
    return received


def test_a_client_that_waits_for_the_word_to_go_on_gets_it_before_its_body_is_there(api: Api) -> None:
    body = json.dumps({"session_id": "patient"}).encode()
    head = (
        "POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as link:
        link.sendall(head.encode())
        assert _head(link).startswith(b"HTTP/1.1 100 ")
        link.sendall(body)
        assert _head(link).startswith(b"HTTP/1.1 201 ")


def test_a_connection_that_stays_open_gets_each_answer_before_the_next_request(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.port), timeout=30) as link:
        for _ in range(3):
            link.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            head = _head(link).decode().lower()
            length = int(next(line for line in head.splitlines() if line.startswith("content-length:")).split(":")[1])
            assert length > 0
            while length:
                length -= len(link.recv(length))
