"""The stack as a developer meets it: real processes, real ports, real signals."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from dev.configuration import PROJECT, Configuration
from dev.put import put
from tests.support.aws import s3_client
from tests.support.instances import Instance, NewInstance, stack_ports
from tests.support.waiting import eventually


def test_run_records_a_file_and_the_next_start_finds_it(new_instance: NewInstance, tmp_path: Path) -> None:
    first = new_instance(command="run").wait_until_up()
    _put(first, "hello.txt")
    assert _wait_for_key(first, "hello.txt")
    assert _dead(first) == "0 dead events.\n"
    assert first.end(signal.SIGINT) < 5
    assert (first.process.returncode, first.errors, first.remains()) == (0, "", [])

    began = time.monotonic()
    second = new_instance(command="run").wait_until_up()
    assert time.monotonic() - began < 15
    assert _wait_for_key(second, "hello.txt")
    _put(second, "after.txt")
    assert _wait_for_key(second, "after.txt")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_every_stop_signal_stops_everything(new_instance: NewInstance, number: signal.Signals) -> None:
    instance = new_instance().wait_until_up()
    assert instance.end(number) < 5
    assert (instance.process.returncode, instance.remains()) == (0, [])


def test_stopping_in_the_middle_of_a_start_leaves_nothing(new_instance: NewInstance) -> None:
    instance = new_instance()
    instance.wait_for(instance.home / "run" / "emulator.json")

    assert instance.end() < 6

    # A child that dies with its parent is still seen for a moment.
    eventually(lambda: not instance.remains(), 2)
    assert (instance.process.returncode, instance.errors, instance.remains()) == (0, "", [])


def test_children_die_with_a_killed_supervisor_and_the_next_one_starts(new_instance: NewInstance) -> None:
    first = new_instance().wait_until_up()
    first.end(signal.SIGKILL)
    second = new_instance(**first.environment).wait_until_up()
    second.end()

    assert (second.process.returncode, second.remains()) == (0, [])


def test_the_next_start_after_everything_was_killed_works_and_loses_no_file(new_instance: NewInstance) -> None:
    first = new_instance(command="run").wait_until_up()
    os.kill(_recorded_pid(first.home / "run" / "delivery.json"), signal.SIGSTOP)  # the event is still in the queue
    _put(first, "kept.txt")
    family = [first.process.pid, *(_recorded_pid(record) for record in first.home.glob("run/*.json"))]
    backends = psutil.Process(_recorded_pid(first.home / "run" / "postgres.json")).children(recursive=True)
    for pid in [*family, *(backend.pid for backend in backends)]:
        os.kill(pid, signal.SIGKILL)
    first.process.wait()

    assert (first.home / "postgres" / "postmaster.pid").exists()

    second = new_instance(command="run").wait_until_up()
    assert _wait_for_key(second, "kept.txt")

    s3 = s3_client(second.url("EMULATOR"))
    assert s3.get_object(Bucket="landfall-local", Key="kept.txt")["Body"].read() == b"hello"


def test_a_second_start_in_one_folder_is_refused(new_instance: NewInstance, tmp_path: Path) -> None:
    new_instance().wait_until_up()

    second = new_instance()
    assert second.process.wait(10) == 1
    assert _one_sentence(second.errors, "already running")


def test_two_instances_run_side_by_side(new_instance: NewInstance, tmp_path: Path) -> None:
    one, two = new_instance(tmp_path / "one"), new_instance(tmp_path / "two")
    one.wait_until_up()
    two.wait_until_up()
    one.end()

    assert two.process.poll() is None


@pytest.mark.parametrize("service", ["POSTGRES", "EMULATOR", "API"])
def test_a_taken_port_is_named_with_the_variable_that_changes_it(new_instance: NewInstance, service: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port, variable = str(listener.getsockname()[1]), f"LANDFALL_{service}_PORT"
        instance = new_instance(command="run", **{variable: port})
        assert instance.process.wait(20) == 1

    assert _one_sentence(instance.errors, f"Port {port}")
    assert variable in instance.errors
    assert instance.remains() == []


@pytest.mark.parametrize("name", ["postgres", "emulator", "delivery"])
def test_a_dead_child_is_named_with_the_end_of_its_log(new_instance: NewInstance, name: str) -> None:
    instance = new_instance().wait_until_up()
    os.kill(_recorded_pid(instance.home / "run" / f"{name}.json"), signal.SIGKILL)

    assert instance.process.wait(10) == 1
    assert instance.errors.startswith(f"landfall: The {name} process was killed by signal 9; ")
    assert str(instance.home / "logs" / f"{name}.log") in instance.errors
    assert "Traceback" not in instance.errors
    assert instance.remains() == []


def test_a_folder_that_cannot_be_written_is_named(new_instance: NewInstance, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    instance = new_instance(LANDFALL_HOME=str(tmp_path / "file" / "home"))
    assert instance.process.wait(10) == 1
    assert _one_sentence(instance.errors, str(tmp_path / "file" / "home"))
    assert "LANDFALL_HOME" in instance.errors


def test_a_failure_of_pip_is_explained_in_a_sentence(new_instance: NewInstance, tmp_path: Path) -> None:
    nothing = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_CONFIG_FILE": os.devnull}

    instance = new_instance(LANDFALL_EMULATOR_VENV=str(tmp_path / "venv"), **nothing)
    assert instance.process.wait(60) == 1
    assert instance.errors.startswith("landfall: The AWS emulator could not be installed by pip; the last lines of ")
    assert "Traceback" not in instance.errors
    assert instance.remains() == []


def test_a_wrong_setting_is_named_in_a_sentence_before_anything_is_started(new_instance: NewInstance) -> None:
    instance = new_instance(LANDFALL_LINK_SECONDS="soon")
    assert instance.process.wait(10) == 1
    assert _one_sentence(instance.errors, "LANDFALL_LINK_SECONDS")
    assert not (instance.home / "postgres").exists()


def test_a_terminal_that_closes_stops_everything_also_behind_make(tmp_path: Path) -> None:
    """`make` as the leader of a terminal's session gets the signal of its end, and waits for us."""
    master, slave = os.openpty()
    home = tmp_path / "home"
    command = ["sh", "-c", f"trap '' HUP; {sys.executable} -m dev services; true"]
    environment = os.environ | stack_ports() | {"LANDFALL_HOME": str(home)}
    with subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    ) as process:
        os.close(slave)
        while not (home / "running.json").exists():
            os.read(master, 1000)
        os.close(master)
        process.wait(15)

    assert not list(home.glob("run/*.json"))


def test_equal_ports_are_named_in_a_sentence(new_instance: NewInstance) -> None:
    instance = new_instance(LANDFALL_API_PORT="4999", LANDFALL_EMULATOR_PORT="4999")
    assert instance.process.wait(10) == 1
    assert _one_sentence(instance.errors, "LANDFALL_API_PORT and LANDFALL_EMULATOR_PORT are both 4999")


@pytest.mark.parametrize("service", ["POSTGRES", "API"])
def test_a_port_kept_for_the_superuser_is_named_in_a_sentence(new_instance: NewInstance, service: str) -> None:
    first_free = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first_free <= 1 or (service == "API" and os.geteuid() == 0):
        return  # nothing is kept from us here

    instance = new_instance(command="run", **{f"LANDFALL_{service}_PORT": str(first_free - 1)})
    assert instance.process.wait(10) == 1
    assert _one_sentence(instance.errors, "is kept for the superuser by this system")


def test_a_machine_without_loopback_is_explained_in_a_sentence() -> None:
    """A new network namespace has none. Where we may not make one, the address is one that isn't ours."""
    program = "import dev.ports as p; p.HOST = {host!r}; p.require_loopback()"
    lonely = ["unshare", "--user", "--map-root-user", "--net"]
    can_unshare = subprocess.run([*lonely, "true"], capture_output=True).returncode == 0
    host, prefix = ("127.0.0.1", lonely) if can_unshare else ("192.0.2.1", [])

    result = subprocess.run(
        [*prefix, sys.executable, "-c", program.format(host=host)], cwd=PROJECT, capture_output=True, text=True
    )
    assert f"StackProblem: This machine can't talk to itself at {host} " in result.stderr


def test_a_stop_during_an_installation_ends_the_installation(new_instance: NewInstance, tmp_path: Path) -> None:
    instance = new_instance(LANDFALL_EMULATOR_VENV=str(tmp_path / "venv"))
    instance.wait_for(tmp_path / "venv")
    family = psutil.Process(instance.process.pid).children(recursive=True)

    assert instance.end(signal.SIGINT) < 2
    assert (instance.process.returncode, instance.errors, instance.remains()) == (0, "", [])
    assert psutil.wait_procs(family, timeout=2)[1] == []


def test_a_stop_during_an_installation_by_another_process_is_obeyed(new_instance: NewInstance, tmp_path: Path) -> None:
    with (tmp_path / "venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        instance = new_instance(LANDFALL_EMULATOR_VENV=str(tmp_path / "venv"))
        instance.wait_for(instance.home / "lock")
        time.sleep(0.5)

        assert instance.end(signal.SIGINT) < 2
    assert (instance.process.returncode, instance.errors) == (0, "")


def test_a_port_that_is_no_number_is_named_in_a_sentence(new_instance: NewInstance) -> None:
    instance = new_instance(LANDFALL_API_PORT="http")
    assert instance.process.wait(10) == 1
    assert _one_sentence(instance.errors, "LANDFALL_API_PORT")


def test_everything_listens_on_the_loopback_interface_only(new_instance: NewInstance) -> None:
    instance = new_instance(command="run").wait_until_up()
    family = psutil.Process(instance.process.pid).children(recursive=True)

    listening = [link.laddr for one in family for link in one.net_connections() if link.status == psutil.CONN_LISTEN]
    assert {address.ip for address in listening} == {"127.0.0.1"}
    assert {str(address.port) for address in listening} == {
        port for name, port in instance.environment.items() if name.endswith("_PORT")
    }


def _put(instance: Instance, key: str) -> None:
    file = instance.home.with_name(key)
    file.write_text("hello")
    put(Configuration.from_environment(instance.environment), file, key)


def _dead(instance: Instance) -> str:
    command = [sys.executable, "-m", "dev", "dead"]
    result = subprocess.run(
        command, cwd=PROJECT, env=os.environ | instance.environment, capture_output=True, text=True, check=True
    )
    return result.stdout


def _wait_for_key(instance: Instance, key: str) -> bool:
    def is_there() -> bool:
        with urllib.request.urlopen(f"{instance.url('API')}/api/files") as answer:
            return key in [item["key"] for item in json.load(answer)["items"]]

    return eventually(is_there, 10)


def _recorded_pid(record: Path) -> int:
    return int(json.loads(record.read_text())["pid"])


def _one_sentence(errors: str, part: str) -> bool:
    return errors.startswith("landfall: ") and errors.count("\n") == 1 and part in errors
