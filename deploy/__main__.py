"""``python -m deploy``: the command line. Every failure is a sentence and exit code 1."""

import argparse
import json
import re
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.catalog.dead_events import Selection
from deploy.problem import DeployProblem
from deploy.status import NEEDS_ATTENTION, Status
from dev import dead_events
from dev.problem import StackProblem

_BEFORE_NAME = re.compile(r"\s+(?=[A-Za-z][A-Za-z0-9]*=)")


def main(arguments: list[str]) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        code: int | None = options.command(options)
    except (DeployProblem, StackProblem) as problem:
        print(f"landfall: {problem}", file=sys.stderr, flush=True)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(
            f"landfall: AWS refused: {error} Run it again, or see how things stand: python -m deploy status",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(
            "landfall: Interrupted. If CloudFormation has begun, it goes on; `python -m deploy status` tells.",
            file=sys.stderr,
        )
        return 130
    return code or 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Landfall in the cloud.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    up = _stage_command(commands, "up", "package, deploy, migrate and try a stage", _up)
    up.add_argument(
        "--lose-data", action="store_true", help="with --yes: go on even if a bucket or database would be lost"
    )
    up.add_argument("parameters", nargs="*", metavar="Name=value", help="parameters of the template")
    up.add_argument(
        "--parameters", dest="text", default="", metavar="TEXT", help="the same in one text, a blank before each name"
    )
    down = _stage_command(commands, "down", "delete a stage", _down)
    down.add_argument("--delete-data", action="store_true", help="its files and database too")
    _stage_command(commands, "rollback", "go back to the release before; the schema stays", _rollback)
    _stage_command(commands, "releases", "list what a stage ran", _releases)
    status = _stage_command(commands, "status", "say how a stage stands; exit code 3 if somebody should look", _status)
    status.add_argument("--json", action="store_true", help="for programs")
    dead = _stage_command(commands, "dead", "list dead events, have them tried again, or throw them away", _dead)
    dead_events.add_arguments(dead)
    _stage_command(commands, "redrive", "have all dead events tried again", _redrive)
    _stage_command(commands, "inspect", "have everything inspected that inspection has given up", _inspect)
    operator = _stage_command(commands, "operator", "make somebody who has signed in an operator", _operator)
    operator.add_argument("user", help="the user's id; GET /api/me tells everybody their own")
    adopt = _stage_command(
        commands, "adopt", "take in a bucket that was there before, and its events from now on", _adopt
    )
    adopt.add_argument("bucket")
    audit = _stage_command(commands, "audit", "compare a bucket with the catalogue, by many functions at once", _audit)
    audit.add_argument("--repair", action="store_true", help="record what differs")
    audit.add_argument("--bucket", help="the stage's own if left out")
    audit.add_argument("--prefix", help="only keys that begin so")
    audit.add_argument("--brake", type=float, help="largest share that may be recorded as gone; 0.05 if left out")
    audit.add_argument("--workers", type=int, help="how many functions share it; 10 if left out")
    package = _stage_command(commands, "package", "package a stage without deploying it", _package)
    package.add_argument("--architecture", choices=["arm64", "x86_64"])
    package.add_argument("--out", type=Path, default=Path("out"))
    template = commands.add_parser("template", help="write infra/ as one file for `chalice package --merge-template`")
    template.add_argument("out", type=Path, nargs="?", default=Path("out"))
    template.set_defaults(command=_template)
    commands.add_parser("lock", help="write requirements.lock").set_defaults(command=_lock)
    sbom = commands.add_parser("sbom", help="write what a package is made of, as CycloneDX")
    sbom.add_argument("out", type=Path, nargs="?", default=Path("out/sbom.json"))
    sbom.set_defaults(command=_sbom)
    advisories = commands.add_parser(
        "advisories", help="ask what is known against what is packaged; exit code 3 if something is"
    )
    advisories.set_defaults(command=_advisories)
    return parser


def _stage_command(commands: Any, name: str, what: str, run: Callable[[argparse.Namespace], int | None]) -> Any:
    command = commands.add_parser(name, help=what)
    command.add_argument("--stage", default="dev")
    command.add_argument("--yes", action="store_true", help="ask nothing")
    command.set_defaults(command=run)
    return command


def _deployment(options: argparse.Namespace) -> Any:
    from deploy.cloud import connect
    from deploy.deployment import Deployment

    parameters = read_parameters(options)
    confirm = _say_yes(getattr(options, "lose_data", False)) if options.yes else _ask
    return Deployment(connect(), options.stage, parameters, _say, confirm)


def read_parameters(options: argparse.Namespace) -> dict[str, str]:
    """The template's parameters of a command line.

    Raises:
        DeployProblem: one of them isn't written ``Name=value``.
    """
    parameters = {}
    # A value may hold blanks, as `rate(1 hour)`: only one with a name behind it ends it.
    in_text = [one for one in _BEFORE_NAME.split(getattr(options, "text", "").strip()) if one]
    for text in [*in_text, *getattr(options, "parameters", [])]:
        name, equals, value = text.partition("=")
        if not equals:
            raise DeployProblem(f"{text!r} is no parameter: write Name=value.")
        parameters[name] = value
    return parameters


def _up(options: argparse.Namespace) -> None:
    addresses = _deployment(options).up()
    print(f"\nLandfall's stage {options.stage} is up.\n")
    _table(addresses)


def _down(options: argparse.Namespace) -> None:
    _deployment(options).down(with_data=options.delete_data)
    print(f"The stage {options.stage} is deleted.")


def _rollback(options: argparse.Namespace) -> None:
    addresses = _deployment(options).rollback()
    print(f"\nLandfall's stage {options.stage} is back at the release before.\n")
    _table(addresses)


def _releases(options: argparse.Namespace) -> None:
    for release in _deployment(options).releases():
        went_back = "  (back to it)" if release.is_rollback else ""
        print(f"  {release.deployed_at}  {release.id}  schema {release.revision}{went_back}")


def _status(options: argparse.Namespace) -> int:
    status: Status = _deployment(options).status()
    if options.json:
        print(json.dumps(status.facts | {"attention": status.attention}))
    else:
        _table(status.rows)
        print("\n" + "\n".join(status.attention or ["All is well."]))
    return status.exit_code


def _dead(options: argparse.Namespace) -> None:
    confirm = (lambda question: True) if options.yes else dead_events.ask
    dead_events.run(options, _deployment(options).dead_events(), confirm)


def _redrive(options: argparse.Namespace) -> None:
    dead_events.redrive_all(_deployment(options).dead_events(), Selection())


def _inspect(options: argparse.Namespace) -> None:
    count = _deployment(options).inspect()
    print(f"{count} {'version' if count == 1 else 'versions'} will be inspected again.")


def _operator(options: argparse.Namespace) -> None:
    print(f"{_deployment(options).make_operator(options.user)} is an operator now.")


def _adopt(options: argparse.Namespace) -> None:
    audit = _deployment(options).adopt(options.bucket)
    print(
        f"Its events come from now on. What it holds is recorded within minutes: GET /api/audits/{audit} says how far that is."
    )


def _audit(options: argparse.Namespace) -> None:
    wish = {name: getattr(options, name) for name in ("bucket", "prefix", "brake", "workers")}
    given = {name: value for name, value in wish.items() if value is not None}
    _table(
        {name: str(value) for name, value in _deployment(options).audit(given | {"repairs": options.repair}).items()}
    )


def _package(options: argparse.Namespace) -> None:
    from deploy.packaging import digest, package

    made = package(options.stage, options.out.resolve(), options.architecture)
    for path in (made.code, made.layer, made.template):
        print(f"{digest(path)}  {path.stat().st_size:>10,}  {path}")


def _template(options: argparse.Namespace) -> None:
    from deploy.template import write_merged

    print(write_merged(options.out))


def _lock(options: argparse.Namespace) -> None:
    from deploy.lock import write_lock

    write_lock()


def _sbom(options: argparse.Namespace) -> None:
    from deploy.supply_chain import write_sbom

    write_sbom(options.out)
    print(options.out)


def _advisories(options: argparse.Namespace) -> int:
    from deploy.supply_chain import audit_dependencies, unaccepted

    audit = audit_dependencies()
    if audit is None:
        print("Not audited: the service of advisories can't be reached.", file=sys.stderr)
        return 0
    if audit.unknown:
        print(f"Not audited, because the service doesn't know them: {', '.join(audit.unknown)}.", file=sys.stderr)
    open_ones = unaccepted(audit.advisories, date.today())
    print("\n".join(map(str, open_ones)) or f"Nothing to mend is known; accepted: {len(audit.advisories)}.")
    return NEEDS_ATTENTION if open_ones else 0


def _say(line: str) -> None:
    print(line, flush=True)


def _say_yes(may_lose_data: bool) -> Callable[[str, bool], bool]:
    def agree(question: str, loses_data: bool) -> bool:
        if loses_data and not may_lose_data:
            raise DeployProblem(f"{question} Not without --lose-data (make: DATA=lose); nothing was changed.")
        return True

    return agree


def _ask(question: str, loses_data: bool) -> bool:
    if not sys.stdin.isatty():
        raise DeployProblem(f"{question} Nobody is there to answer; `--yes` (make: YES=1) says yes.")
    return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")


def _table(rows: dict[str, str]) -> None:
    for name, value in rows.items():
        print(f"  {name:<18}{value}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
