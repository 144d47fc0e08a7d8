"""Events that failed all their tries: listed with the reason, tried again, thrown away."""

import argparse
import json
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dev import dead_letters
from dev.dead_letters import DeadFolder, DeadLetters, DeadQueue
from dev.infra import client
from dev.ports import free_port
from dev.problem import StackProblem
from dev.stack import Stack
from tests.support.notifications import body, s3_record

GOOD = body(s3_record("ObjectCreated:Put", "a/ü.txt"))
OTHER = body(s3_record("ObjectCreated:Put", "b.txt"))
POISON = '{"no": "notification"}'


class Run:
    """Runs the command and says what it printed."""

    def __init__(self, letters: DeadLetters, capsys: pytest.CaptureFixture[str]) -> None:
        self.letters, self._capsys = letters, capsys
        self.answers, self.questions = True, list[str]()

    def __call__(self, *arguments: str) -> str:
        parser = argparse.ArgumentParser()
        dead_letters.add_arguments(parser)
        dead_letters.run(parser.parse_args(arguments), self.letters, self._confirm)
        return self._capsys.readouterr().out

    def _confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.answers


@pytest.fixture
def sqs(stack: Stack) -> Iterator[Any]:
    sqs = client("sqs", stack.emulator.url)
    urls = stack.deployed.queue_url, stack.deployed.dead_queue_url
    for url in urls:
        sqs.purge_queue(QueueUrl=url)
    for text in (GOOD, POISON, OTHER):
        sqs.send_message(QueueUrl=stack.deployed.dead_queue_url, MessageBody=text)
    yield sqs
    for url in urls:
        sqs.purge_queue(QueueUrl=url)


@pytest.fixture
def dead(stack: Stack, sqs: Any, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(DeadQueue(sqs, stack.deployed.queue_url, stack.deployed.dead_queue_url), capsys)


def _bodies(sqs: Any, url: str) -> set[str]:
    wanted = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 0, "VisibilityTimeout": 0}
    return {message["Body"] for message in sqs.receive_message(**wanted).get("Messages", [])}


def test_each_letter_is_listed_with_reason_and_age_and_stays_in_the_queue(stack: Stack, sqs: Any, dead: Run) -> None:
    for _ in range(2):
        listed = dead()
        assert "3 dead letters.\n" in listed
        assert re.search(r"  [0-9a-f]{8}    \d s  .*/a/ü\.txt\n +It can be read: the database was away", listed)
        assert "The message is no S3, SNS, EventBridge or MinIO notification." in listed
    assert _bodies(sqs, stack.deployed.dead_queue_url) == {GOOD, POISON, OTHER}

    whole = [json.loads(line) for line in dead("--json").splitlines()]
    assert {letter["body"] for letter in whole} == {GOOD, POISON, OTHER}


def test_the_reason_is_what_the_function_said(stack: Stack, sqs: Any, dead: Run) -> None:
    """Lambda adds it to what it gives up, of direct invocations."""
    said = {"ErrorMessage": {"DataType": "String", "StringValue": "The bucket is on fire."}}
    sqs.send_message(QueueUrl=stack.deployed.dead_queue_url, MessageBody=GOOD, MessageAttributes=said)
    assert "The bucket is on fire." in dead("list", "--reason", "on fire")


def test_a_letter_is_driven_back_by_the_beginning_of_its_id(stack: Stack, sqs: Any, dead: Run) -> None:
    [identifier] = [line.split()[0] for line in dead().splitlines() if "ü.txt" in line]
    assert dead("redrive", identifier) == "1 dead letter back in the queue.\n"
    assert _bodies(sqs, stack.deployed.queue_url) == {GOOD}
    assert _bodies(sqs, stack.deployed.dead_queue_url) == {POISON, OTHER}

    with pytest.raises(StackProblem, match=f"no dead letter {identifier}"):
        dead("redrive", identifier)


def test_all_letters_of_a_kind_are_driven_back_or_thrown_away(stack: Stack, sqs: Any, dead: Run) -> None:
    assert dead("discard", "--reason", "no S3, SNS") == "1 dead letter thrown away.\n"
    assert dead.questions == ["Throw 1 dead letter away for ever?"]

    assert dead("redrive", "--older-than", "1h") == "0 dead letters back in the queue.\n"
    assert dead("redrive", "--about", "b.txt") == "1 dead letter back in the queue.\n"
    assert dead("redrive", "--all") == "1 dead letter back in the queue.\n"

    assert _bodies(sqs, stack.deployed.queue_url) == {GOOD, OTHER}
    assert _bodies(sqs, stack.deployed.dead_queue_url) == set()


def test_a_command_without_a_selection_is_refused(stack: Stack, sqs: Any, dead: Run) -> None:
    for action in ("redrive", "discard"):
        with pytest.raises(StackProblem, match=f"Say which letters to {action}"):
            dead(action)

    dead.answers = False
    with pytest.raises(StackProblem, match="nothing was changed"):
        dead("discard", "--all")
    assert len(_bodies(sqs, stack.deployed.dead_queue_url)) == 3


def test_an_empty_variable_of_a_shell_selects_nothing(stack: Stack, sqs: Any, dead: Run) -> None:
    for action in ("list", "redrive", "discard"):
        with pytest.raises(SystemExit):
            dead(action, "")
    assert len(_bodies(sqs, stack.deployed.dead_queue_url)) == 3


def test_a_letter_that_dies_again_meanwhile_is_left_for_the_next_command(stack: Stack, sqs: Any, dead: Run) -> None:
    urls = stack.deployed.queue_url, stack.deployed.dead_queue_url

    class Dying:
        """A queue whose messages fail at once."""

        def send_message(self, QueueUrl: str, MessageBody: str) -> None:
            time.sleep(0.01)
            sqs.send_message(QueueUrl=urls[1], MessageBody=MessageBody)

        def __getattr__(self, name: str) -> Any:
            return getattr(sqs, name)

    dead.letters = DeadQueue(Dying(), *urls)
    assert dead("redrive", "--all") == "3 dead letters back in the queue.\n"
    assert _bodies(sqs, urls[1]) == {GOOD, POISON, OTHER}


def test_control_characters_of_a_letter_are_escaped(stack: Stack, sqs: Any, dead: Run) -> None:
    odd = body(s3_record("ObjectCreated:Put", "a\x1b[2J\nforged \u202eü"))
    sqs.send_message(QueueUrl=stack.deployed.dead_queue_url, MessageBody=odd)
    sqs.send_message(QueueUrl=stack.deployed.dead_queue_url, MessageBody="b\r\x9bm")

    listed = dead("list")
    assert r"a\x1b[2J\nforged \u202eü" in listed
    assert r"b\r\x9bm" in listed


def test_a_queue_that_cannot_be_read_is_named_in_a_sentence(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = client("sqs", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(StackProblem, match="The queue of dead letters can't be read"):
        Run(DeadQueue(nowhere, "http://q", "http://q-dead"), capsys)()


def test_more_letters_than_a_request_holds_are_handled(stack: Stack, sqs: Any, dead: Run) -> None:
    for number in range(25):
        sqs.send_message(QueueUrl=stack.deployed.dead_queue_url, MessageBody=f"{number}")
    assert "28 dead letters." in dead()
    assert dead("discard", "--reason", "not a JSON object") == "25 dead letters thrown away.\n"
    assert "3 dead letters." in dead()


@pytest.fixture
def receiver() -> Iterator[tuple[HTTPServer, list[tuple[str, bytes]]]]:
    """In place of the webhook's receiver, which has tests of its own."""
    taken: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.headers["Authorization"], self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server, taken
    server.shutdown()


def test_dead_events_of_minio_are_files_and_handled_alike(
    receiver: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server, taken = receiver
    (tmp_path / "one.json").write_text(POISON)
    (tmp_path / "two.json").write_text(GOOD)
    dead = Run(DeadFolder(tmp_path, f"http://127.0.0.1:{server.server_port}/", "secret"), capsys)
    assert "2 dead letters." in dead()
    assert dead("discard", "one") == "1 dead letter thrown away.\n"
    assert dead("redrive", "--all") == "1 dead letter back in the queue.\n"
    assert taken == [("Bearer secret", GOOD.encode())]
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "three.json").write_text(GOOD)
    server.server_close()
    server.shutdown()
    with pytest.raises(StackProblem, match="is `make run` running"):
        dead("redrive", "--all")
    assert (tmp_path / "three.json").exists()


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59, "59 s"), (3599, "59 m"), (7300, "2 h"), (200_000, "2 d")]
)
def test_an_age_is_shown_in_its_largest_unit(seconds: int, shown: str) -> None:
    letter = dead_letters.DeadLetter.of("x", datetime.now(UTC) - timedelta(seconds=seconds), POISON)
    assert dead_letters._short(letter.age(letter.sent_at + timedelta(seconds=seconds))) == shown


def test_an_unreadable_age_is_refused(dead: Run) -> None:
    with pytest.raises(SystemExit):
        dead("list", "--older-than", "soon")
