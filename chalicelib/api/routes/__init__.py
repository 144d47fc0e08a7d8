"""The routes: a table of all paths, and a module for each resource. A route validates, calls one service function and answers.

The table names functions by text. So a module is imported by the first request for one of its routes, and not by the import of
the application: see `chalicelib.api.http.views`.
"""

from collections.abc import Iterator

from chalicelib.api.http.views import Route, View

# Module: (method, path, function) of each of its routes. Chalice tries the paths in this order: `batch` and `complete` of an
# upload come before a part's number, which would match them too.
_TABLE: dict[str, tuple[tuple[str, str, str], ...]] = {
    "users": (
        ("GET", "/api/users", "list_users"),
        ("POST", "/api/users", "create_user"),
        ("GET", "/api/me", "get_me"),
        ("GET", "/api/users/{user_id}", "get_user"),
        ("PUT", "/api/users/{user_id}", "replace_user"),
        ("PATCH", "/api/users/{user_id}", "patch_user"),
        ("GET", "/api/users/{user_id}/usage", "get_user_usage"),
        ("DELETE", "/api/users/{user_id}", "delete_user"),
    ),
    "barred_identities": (
        ("GET", "/api/barred-identities", "list_barred_identities"),
        ("DELETE", "/api/barred-identities/{identity_id}", "admit_identity"),
    ),
    "api_keys": (
        ("GET", "/api/keys", "list_keys"),
        ("POST", "/api/keys", "create_key"),
        ("GET", "/api/keys/{key_id}", "get_key"),
        ("DELETE", "/api/keys/{key_id}", "revoke_key"),
    ),
    "credentials": (("POST", "/api/credentials", "give_credentials"),),
    "sessions": (
        ("GET", "/api/sessions", "list_sessions"),
        ("POST", "/api/sessions", "open_session"),
        ("POST", "/api/session", "open_session"),
        ("GET", "/api/sessions/{session_id}", "get_session"),
        ("PUT", "/api/sessions/{session_id}", "replace_session"),
        ("PATCH", "/api/sessions/{session_id}", "patch_session"),
        ("GET", "/api/sessions/{session_id}/usage", "get_session_usage"),
        ("DELETE", "/api/sessions/{session_id}", "delete_session"),
    ),
    "members": (
        ("GET", "/api/sessions/{session_id}/members", "list_members"),
        ("POST", "/api/sessions/{session_id}/members", "put_member"),
        ("PATCH", "/api/sessions/{session_id}/members/{member_id}", "patch_member"),
        ("DELETE", "/api/sessions/{session_id}/members/{member_id}", "remove_member"),
    ),
    "files": (
        ("GET", "/api/files", "list_files"),
        ("GET", "/api/files/facets", "count_files"),
        ("GET", "/api/sessions/{session_id}/files", "list_session_files"),
        ("GET", "/api/files/{file_id}", "get_file"),
        ("GET", "/api/files/{file_id}/versions", "list_versions"),
        ("GET", "/api/files/{file_id}/events", "list_events"),
        ("GET", "/api/files/{file_id}/download", "download_file"),
        ("PUT", "/api/files/{file_id}", "replace_file"),
        ("PATCH", "/api/files/{file_id}", "patch_file"),
        ("DELETE", "/api/files/{file_id}", "delete_file"),
        ("POST", "/api/files/{file_id}/inspect", "inspect_file"),
    ),
    "uploads": (
        ("POST", "/api/files", "create_file"),
        ("POST", "/api/files/{file_id}/upload", "renew_upload"),
        ("POST", "/api/files/{file_id}/parts", "sign_parts"),
        ("GET", "/api/files/{file_id}/parts", "list_parts"),
        ("POST", "/api/files/{file_id}/complete", "complete_upload"),
        ("POST", "/api/files/upload", "upload_files"),
    ),
    "file_jobs": (
        ("POST", "/api/files/{file_id}/copy", "copy_file"),
        ("POST", "/api/files/{file_id}/move", "move_file"),
        ("POST", "/api/files/{file_id}/restore", "restore_file"),
    ),
    "handing_over": (
        ("POST", "/api/files/{file_id}/hand-over", "hand_over"),
        ("POST", "/api/sessions/{session_id}/hand-over", "hand_over_session"),
    ),
    "bulk": (
        ("POST", "/api/files/bulk-delete", "bulk_delete"),
        ("POST", "/api/files/bulk-restore", "bulk_restore"),
    ),
    "folders": (
        ("GET", "/api/folders", "list_folders"),
        ("DELETE", "/api/folders", "delete_folder"),
    ),
    "trash": (("DELETE", "/api/trash", "empty_trash"),),
    "zips": (("POST", "/api/zips", "create_zip"),),
    "jobs": (
        ("GET", "/api/jobs", "list_jobs"),
        ("GET", "/api/jobs/{job_id}", "get_job"),
        ("POST", "/api/jobs/{job_id}/cancel", "cancel_job"),
    ),
    "shares": (
        ("POST", "/api/files/{file_id}/shares", "create_share"),
        ("GET", "/api/files/{file_id}/shares", "list_shares"),
        ("DELETE", "/api/shares/{share_id}", "revoke_share"),
        ("GET", "/api/shared/{token}", "open_share"),
    ),
    "uppy": (
        ("GET", "/s3/params", "get_form"),
        ("POST", "/s3/multipart", "create_multipart"),
        ("GET", "/s3/multipart/{upload_id}", "list_held_parts"),
        ("DELETE", "/s3/multipart/{upload_id}", "abort_multipart"),
        ("GET", "/s3/multipart/{upload_id}/batch", "sign_some_parts"),
        ("POST", "/s3/multipart/{upload_id}/complete", "complete_multipart"),
        ("GET", "/s3/multipart/{upload_id}/{part_number}", "sign_part"),
        ("POST", "/api/uploads/sign", "sign_request"),
    ),
    "owner_rules": (
        ("GET", "/api/owner-rules", "list_owner_rules"),
        ("POST", "/api/owner-rules", "create_owner_rule"),
        ("GET", "/api/owner-rules/{rule_id}", "get_owner_rule"),
        ("DELETE", "/api/owner-rules/{rule_id}", "delete_owner_rule"),
        ("POST", "/api/owner-rules/{rule_id}/apply", "apply_owner_rule"),
    ),
    "trail": (
        ("GET", "/api/trail", "list_trail"),
        ("GET", "/api/files/{file_id}/trail", "list_file_trail"),
    ),
    "audits": (
        ("GET", "/api/audits", "list_audits"),
        ("POST", "/api/audits", "create_audit"),
        ("GET", "/api/audits/{audit_id}", "get_audit"),
        ("POST", "/api/audits/{audit_id}/cancel", "cancel_audit"),
        ("GET", "/api/truth", "get_truth"),
    ),
    "dead_events": (
        ("GET", "/api/dead-events", "list_dead_events"),
        ("POST", "/api/dead-events/redrive", "redrive_dead_events"),
        ("POST", "/api/dead-events/discard", "discard_dead_events"),
        ("GET", "/api/dead-events/{event_id}", "get_dead_event"),
    ),
    "identity": (("GET", "/api/identity", "get_identity"),),
    "health": (
        ("GET", "/health", "health"),
        ("GET", "/ready", "ready"),
    ),
    "docs": (
        ("GET", "/openapi.json", "openapi_document"),
        ("GET", "/", "root"),
        ("GET", "/problems/{name}", "read_problem"),
        ("GET", "/docs", "docs_page"),
        ("GET", "/docs/{asset}", "docs_asset"),
    ),
}


def _routes() -> Iterator[Route]:
    for module, rows in _TABLE.items():
        for method, path, name in rows:
            yield Route(method, path, View(module, name))


ROUTES = tuple(_routes())
