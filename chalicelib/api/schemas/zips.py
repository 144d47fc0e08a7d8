"""Zips, as clients ask for them."""

from uuid import UUID

from pydantic import Field

from chalicelib.api.schemas.common import Input
from chalicelib.api.schemas.files import FileName

MAX_FILES_IN_ZIP = 1000


class ZipCreate(Input):
    """Which files to zip."""

    file_ids: list[UUID] = Field(min_length=1, max_length=MAX_FILES_IN_ZIP)
    name: FileName = "files.zip"
