"""openapi-python-client: a module for each operation."""

import json
import os
from io import BytesIO

from landfall_client import AuthenticatedClient
from landfall_client.api.files import list_files, patch_file
from landfall_client.api.uploads import upload_files
from landfall_client.models import FileOut, FilePatch, FilesOut, ListFilesMetadata, Problem, ProblemType, UploadForm
from landfall_client.types import File

ME = "openapi_python"


def reason(problem: Problem) -> str:
    if problem.type_ is ProblemType.PRECONDITION_FAILED:
        return "somebody else was faster"
    return problem.detail


def main() -> None:
    client = AuthenticatedClient(
        os.environ["API"], token=os.environ["ME"], prefix="", auth_header_name="X-Landfall-User"
    )
    hello = File(BytesIO(b"hello"), "hello.txt")
    form = UploadForm(file=[hello], session_id=ME, metadata=json.dumps({"client": ME}), tags=["a", "b"])
    uploaded = upload_files.sync(client=client, body=form)
    assert isinstance(uploaded, list)
    file_id = uploaded[0].id

    # This generator knows no deepObject, and sends the members of an object under their own names.
    wanted = ListFilesMetadata.from_dict({"metadata[client]": ME})
    listed = list_files.sync(client=client, metadata=wanted, tag=["a", "b"], limit=10)
    assert isinstance(listed, FilesOut)
    late = patch_file.sync(file_id, client=client, body=FilePatch(tags=["z"]), if_match='"an earlier one"')
    assert isinstance(late, Problem)
    patched = patch_file.sync(file_id, client=client, body=FilePatch(tags=["z"]))
    assert isinstance(patched, FileOut)
    found = [file.name for file in listed.items]
    print(json.dumps({"found": found, "late": reason(late), "tags": patched.tags, "session": patched.session_id}))


main()
