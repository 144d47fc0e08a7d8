"""No query over rows with owners is written without a scope: see docs/architecture.md.

A function of `chalicelib.db` that takes none is here, with the reason. So is every module of the services that says `EVERYONE`.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "chalicelib"
_SCOPES = {"Scope", "Owner", "Everyone", "ScopedFilters"}

# These modules hold what operators ask about, and what Landfall does by itself.
WITHOUT_OWNERS = {
    "audit_ranges", "audit_schedule", "audits", "backlog", "buckets", "comparing", "copying", "dead_events", "deadlines",
    "due_uploads", "engine", "findings", "inspection_queue", "inventories", "inventory_files", "known_versions", "locks",
    "member_views", "migrate", "owner_rules", "partitions", "rates", "waits", "recording", "reviving", "roles", "stores",
}  # fmt: skip

WITHOUT_SCOPE = {
    # They change what the same request, or its job, has found in its scope.
    "claims": {"claim_files", "is_claimed", "release_files"},
    "files": {
        "change_file",
        "end_restores",
        "forget_pending",
        "mark_deleted",
        "mark_restored",
        "reserve",
        "reserve_restore",
    }
    | {"reserved_for"},
    "moves": {"drop_placeholder", "exchange"},
    "sessions": {"change_session", "delete_session"},
    "uploads": {"change_upload", "close_uploads", "give_up_uploads", "save_parts", "still_ends_at"},
    "users": {"change_user", "delete_user"},
    "api_keys": {"revoke_key"},
    "jobs": {
        "end_job",
        "count_open_jobs",
        "find_moving",
        "hasten_jobs",
        "merge_progress",
        "request_cancellation",
        "save_progress",
    },
    # By the clock, except the first.
    "trash": {"mark_purged", "dead_restores", "expired_files", "old_trash", "put_off"},
    # What they read is at a key that the caller's file has, or is about to have.
    "history": {"current_at", "hidden_objects"},
    "retiring": {"holds_anothers", "retire"},
    # What they are about, a session, a membership or files, was found in the caller's scope, or they find out who may act.
    "handing_over": {"give_files"},
    "session_members": {
        "change_role",
        "claim_memberships",
        "find_membership",
        "find_membership_at",
        "find_memberships_of",
    }
    | {"leave_address", "list_members", "move_memberships", "put_member", "remove_member", "remove_user"},
    "sessions shared": {"list_shared_sessions"},
    "own_words": {
        "find_own_words",
        "with_ids",
        "with_known_errors",
    },  # they take the owner that `own_words_of` has found in the scope
    "trail": {"add_acts", "forget_acts", "list_file_trail"},
    # They add rows. Whose these are is in the rows.
    "files add": {"add_pending"},
    "shares add": {"add_share"},
    "uploads add": {"add_uploads"},
    "users add": {"add_user", "ensure_user"},
    "api_keys add": {"add_key", "lock_owner"},
    # They find out who is calling.
    "identities": {"add_known", "find_known", "take_email"},
    "users calling": {"find_known_user", "lock_known_users"},
    # Of deleted users, for operators.
    "identities barred": {"admit_barred", "bar_identities", "list_barred"},
    "shares calling": {"use_share"},
    # The clock, for everybody.
    "api_keys calling": {"find_known", "note_use"},
    "jobs clock": {"claim_job", "find_due_jobs"},
    "jobs limits": {"has_open_jobs"},  # it takes the caller itself
    "search": {"allow_typos", "index_files"},
    "usage": {"add_up_changes"},
    # The condition is in `matching`, which is written with a scope.
    "pages": {"list_by_id"},
    "rows": {"read_row"},  # in the statement
    # A deployment asks it about the file that it has just put, to see whether everything works.
    "files state": {"find_state"},
}

# In these, what the caller may see was looked up before, or nobody calls: the clock does.
EVERYONE_IN = {
    "services/accounts/principals.py",
    "services/context.py",
    "services/files/editing.py",
    "services/files/handing_over.py",
    "services/files/sharing.py",
    "services/jobs/copy.py",
    "services/jobs/move.py",
    "services/jobs/restore.py",
    "services/jobs/sweep.py",
    "services/jobs/zip.py",
    "services/jobs/undelete.py",
    "services/removal/deletion.py",
    "services/removal/trash.py",
    "services/upkeep/judging.py",
    "services/upkeep/measuring.py",
    "services/upkeep/reaping.py",
    "services/uploads/completion.py",
    "services/uploads/through_api.py",
}


def _asking() -> Iterator[tuple[str, str, bool]]:
    """Module and name of each function that asks the database, and whether it takes a scope."""
    for path in sorted((PACKAGE / "db").glob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                taken = [*node.args.args, *node.args.kwonlyargs]
                if taken and taken[0].arg in ("session", "connection"):
                    kinds = {ast.unparse(one.annotation) for one in taken if one.annotation}
                    yield path.stem, node.name, bool(kinds & _SCOPES)


def test_whatever_asks_about_rows_with_owners_takes_a_scope() -> None:
    listed = {(name.split(" ")[0], function) for name, functions in WITHOUT_SCOPE.items() for function in functions}
    found = {(module, name) for module, name, is_scoped in _asking() if not is_scoped and module not in WITHOUT_OWNERS}
    assert found == listed


def test_everyone_is_said_where_it_is_meant() -> None:
    files = [path for folder in ("services", "api", "triggers") for path in (PACKAGE / folder).rglob("*.py")]
    found = {
        str(path.relative_to(PACKAGE))
        for path in files
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id in ("EVERYONE", "Everyone")
    }
    assert found == EVERYONE_IN
