"""Jobs outlive releases: what one release has written the next one reads, and the one before it, should it come back."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from chalicelib.catalog.commands import (
    AssignOwners,
    Command,
    Copy,
    DeleteFolder,
    DeleteUser,
    EmptyTrash,
    HandOver,
    JobKind,
    Move,
    Restore,
    TakeBack,
    Taken,
    Undelete,
    Zip,
)
from chalicelib.catalog.objects import Copied, Location, Source
from chalicelib.catalog.progress import (
    AssignProgress,
    DeleteUserProgress,
    Failure,
    Left,
    MoveProgress,
    Progress,
    RestoreProgress,
    SweepProgress,
    UndeleteProgress,
    ZipProgress,
)
from chalicelib.db.jobs import ClaimedJob, read_command, read_progress, written

ID = UUID("0199d4a1-7c00-7000-8000-000000000001")
OTHER = UUID("0199d4a1-7c00-7000-8000-000000000002")
MOMENT = datetime(2026, 11, 24, 12, 30, tzinfo=UTC)
SOURCE = Source("b", "k", "v1", "e", 5)
SOURCE_DOCUMENT = {"bucket": "b", "key": "k", "version_id": "v1", "etag": "e", "size": 5}

TAKEN = {"file_id": str(ID), "location": ["b", "k"], "version_id": "v1", "etag": "e"}

# As release 0.1.0 of 2026-11-24 wrote them; its times have an offset of +00:00.
COMMANDS: list[tuple[JobKind, dict[str, Any], Command]] = [
    ("copy", {"source": SOURCE_DOCUMENT, "file_id": str(ID)}, Copy(SOURCE, ID)),
    ("copy", {"source": SOURCE_DOCUMENT, "file_id": str(ID), "original": str(OTHER)}, Copy(SOURCE, ID, OTHER)),
    ("move", {"file_id": str(ID), "key": "k2", "name": None, "placeholder": str(OTHER)}, Move(ID, "k2", None, OTHER)),
    ("restore", {"file_id": str(ID), "source": SOURCE_DOCUMENT, "over": "e2"}, Restore(ID, SOURCE, "e2")),
    ("delete_folder", {"bucket": "b", "prefix": "p/", "until": MOMENT.isoformat()}, DeleteFolder("b", "p/", MOMENT)),
    ("empty_trash", {"until": MOMENT.isoformat(), "everyones": True}, EmptyTrash(MOMENT, True)),
    ("zip", {"file_ids": [str(ID)], "name": "a.zip"}, Zip([ID], "a.zip")),
    ("assign_owners", {"bucket": "b", "prefix": "p/"}, AssignOwners("b", "p/")),
    ("hand_over", {"owner_id": str(ID), "session_id": "s", "to": str(OTHER)}, HandOver(ID, "s", OTHER)),
    ("delete_user", {"user_id": str(ID), "to": None}, DeleteUser(ID, None)),
    ("undelete", {"file_ids": [str(ID)], "claimed": MOMENT.isoformat()}, Undelete([ID], MOMENT)),
    ("take_back", {"taken": [TAKEN]}, TakeBack([Taken(ID, Location("b", "k"), "v1", "e")])),
]
LEFT = {"bucket": "b", "key": "k", "version_id": "v1", "etag": "e", "rank": "r"}
PROGRESS: list[tuple[JobKind, dict[str, Any], Progress]] = [
    ("undelete", {"claimed": MOMENT.isoformat(), "done": 1}, UndeleteProgress(done=1, claimed=MOMENT)),
    ("move", {}, MoveProgress()),
    (
        "move",
        {"source": SOURCE_DOCUMENT, "foretold": "e-2", "copies": [{"version_id": "v9", "etag": "e-2"}], "left": LEFT},
        MoveProgress(source=SOURCE, foretold="e-2", copies=[Copied("v9", "e-2")], left=Left("b", "k", "v1", "e", "r")),
    ),
    ("restore", {"claimed": MOMENT.isoformat(), "copying": True}, RestoreProgress(claimed=MOMENT, copying=True)),
    (
        "delete_folder",
        {"after": str(ID), "done": 2, "failed": 1, "failures": [{"what": str(OTHER), "why": "No."}]},
        SweepProgress(done=2, failed=1, failures=[Failure(str(OTHER), "No.")], after=ID),
    ),
    ("zip", {"file_id": str(ID), "done": 3}, ZipProgress(done=3, file_id=ID)),
    ("assign_owners", {"after_key": "p/a", "done": 3}, AssignProgress(done=3, after_key="p/a")),
    ("delete_user", {"after": str(ID), "phase": "trash"}, DeleteUserProgress(after=ID, phase="trash")),
]


def job(kind: JobKind, command: dict[str, Any], progress: dict[str, Any]) -> ClaimedJob:
    return ClaimedJob(ID, OTHER, "member", kind, command, progress, 1)


@pytest.mark.parametrize(("kind", "document", "command"), COMMANDS)
def test_commands_are_read_and_written_as_the_release_before_does(
    kind: JobKind, document: dict[str, Any], command: Command
) -> None:
    assert read_command(job(kind, document | {"role": "operator"}, {})) == command
    assert _with_offset(written(command)) == document


@pytest.mark.parametrize(("kind", "document", "progress"), PROGRESS)
def test_progress_is_read_and_written_as_the_release_before_does(
    kind: JobKind, document: dict[str, Any], progress: Progress
) -> None:
    assert read_progress(job(kind, {}, document)) == progress
    assert _with_offset(written(progress)) == document


def test_the_whole_file_that_the_release_before_has_left_is_read() -> None:
    whole = LEFT | {"id": str(ID), "name": "k", "state": "stored", "upload": None, "revision": "x-1", "tags": []}
    progress = read_progress(job("move", {}, {"left": whole}))
    assert progress == MoveProgress(left=Left("b", "k", "v1", "e", "r"))


def test_a_source_without_size_and_etag_is_read() -> None:
    """The release before wrote null for what no event had told."""
    document = {"source": SOURCE_DOCUMENT | {"size": None, "etag": None}, "file_id": str(ID)}
    assert read_command(job("copy", document, {})) == Copy(Source("b", "k", "v1", "", 0), ID)


def _with_offset(document: dict[str, Any]) -> dict[str, Any]:
    """Python reads both forms of UTC."""
    return {
        name: value.replace("Z", "+00:00") if isinstance(value, str) and value.startswith("2026") else value
        for name, value in document.items()
    }
