"""The command line of the local stack. Every failure is one sentence and exit code 1, never a traceback."""

import argparse
import sys
import traceback
from pathlib import Path

from dev import audits, dead_events
from dev.application import context_of
from dev.configuration import Configuration
from dev.problem import StackProblem, describe


def main(arguments: list[str]) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except StackProblem as problem:
        return _fail(str(problem))
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - whatever else may go wrong, a developer can do little with a traceback
        return _fail(f"This should not have happened: {describe(error)}; {_keep_traceback()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dev", description="Landfall's local stack.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("run", help="start everything").set_defaults(command=_run, with_api=True)
    services = commands.add_parser("services", help="start everything but the API, to run that by hand")
    services.set_defaults(command=_run, with_api=False)
    put = commands.add_parser("put", help="put a file into the bucket, with no AWS command line")
    put.add_argument("file", type=Path)
    put.add_argument("key", nargs="?", help="the object's key; the file's name if left out")
    put.set_defaults(command=_put)
    token = commands.add_parser("token", help="sign in with the stack's own identity provider, and print a token")
    token.add_argument("name", nargs="?", default="ada", help="who: ada, the operator, if left out; or any other name")
    token.set_defaults(command=_token)
    dead = commands.add_parser(
        "dead", help="list events that failed all their tries, try them again, or throw them away"
    )
    dead_events.add_arguments(dead)
    dead.add_argument("--yes", action="store_true", help="ask nothing")
    dead.set_defaults(command=_dead)
    audit = commands.add_parser("audit", help="compare the bucket with the catalogue, and put right what differs")
    audits.add_arguments(audit)
    audit.set_defaults(command=audits.run)
    adopt = commands.add_parser("adopt", help="take in a bucket that was there before, and its events from now on")
    audits.add_adopt_arguments(adopt)
    adopt.set_defaults(command=audits.adopt)
    return parser


def _run(options: argparse.Namespace) -> None:
    from dev.supervisor import Supervisor

    Supervisor(Configuration.from_environment(), with_api=options.with_api).run()


def _put(options: argparse.Namespace) -> None:
    from dev.put import put

    configuration = Configuration.of_running()
    key = options.key or options.file.name
    version = put(configuration, options.file, key)
    print(f"s3://{configuration.bucket}/{key} (version {version}) at {configuration.emulator_url}")


def _token(options: argparse.Namespace) -> None:
    from dev.token import get_token

    print(get_token(Configuration.of_running(), options.name))


def _dead(options: argparse.Namespace) -> None:
    confirm = (lambda question: True) if options.yes else dead_events.ask
    dead_events.run(options, dead_events.LocalDeadEvents(context_of(Configuration.of_running())), confirm)


def _fail(sentence: str) -> int:
    print(f"landfall: {sentence}", file=sys.stderr, flush=True)
    return 1


def _keep_traceback() -> str:
    log = Configuration.from_environment().logs / "supervisor.log"
    try:
        log.write_text(traceback.format_exc())
    except OSError:
        return "its traceback could not be kept."
    return f"its traceback is in {log}."
