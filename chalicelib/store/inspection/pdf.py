"""What a PDF says of itself: pages, title, author."""

import logging
from functools import cache
from typing import IO, Any, cast

from chalicelib.store.inspection.ranged import RangedFile

_MAX_TEXT = 500
_MAX_PAGES = 10_000_000
_MAX_STREAM_BYTES = 2_000_000


def document_of(file: RangedFile) -> dict[str, Any]:
    """``pages`` as the file claims, ``is_encrypted``, and unless it is: ``title`` and ``author``."""
    import pypdf  # saves 47 ms

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it writes a line for each entry of a broken table
    # The unpacked size of everything is limited: a kilobyte can unpack to a gigabyte.
    limits: dict[str, Any] = {
        "zlib_maximum_output_length": _MAX_STREAM_BYTES,
        "zlib_maximum_recovery_input_length": 1,
        "lzw_maximum_output_length": _MAX_STREAM_BYTES,
        "run_length_maximum_output_length": _MAX_STREAM_BYTES,
        "maximum_declared_stream_length": _MAX_STREAM_BYTES,
        "array_based_stream_maximum_output_length": _MAX_STREAM_BYTES,
        "stream_decoding_work_maximum_length": 4 * _MAX_STREAM_BYTES,
        "dictionary_maximum_element_count": 10_000,
        "stream_filters_maximum_length": 2,
        "flate_maximum_columns": 4096,
        "flate_maximum_row_length": 65_536,
        "disable_legacy_handling": True,
    }
    with pypdf.apply_configuration(**limits):
        # Without `strict`, pypdf looks at every object of the file for mistakes that it could mend.
        reader = _reader()(
            cast(IO[bytes], file), strict=True, root_object_recovery_limit=0, xref_stream_maximum_entries=200_000
        )
        found: dict[str, Any] = {"is_encrypted": bool(reader.is_encrypted)}
        # The tree's own count: `len(reader.pages)` would read every page.
        count = reader.trailer["/Root"]["/Pages"]["/Count"]
        if isinstance(count, int) and 0 < count <= _MAX_PAGES:
            found["pages"] = int(count)
        information = None if found["is_encrypted"] else reader.trailer.get("/Info")
        if information is not None:
            found |= _texts(information.get_object())
        return found


def _texts(information: Any) -> dict[str, str]:
    named = {"title": information.get("/Title"), "author": information.get("/Author")}
    return {
        name: cleaned
        for name, value in named.items()
        if isinstance(value, str) and (cleaned := " ".join(value.replace("\0", " ").split())[:_MAX_TEXT])
    }


@cache
def _reader() -> Any:
    # Saves 47 ms.
    import pypdf
    from pypdf.errors import PdfReadError

    class Reader(pypdf.PdfReader):
        """A reader that never scans the whole file for lost objects, and never tries to decrypt."""

        def _rebuild_xref_table(self, stream: IO[Any]) -> None:
            raise PdfReadError("The table of objects is broken.")

        def _handle_encryption(self, password: Any) -> None:
            """Do nothing: the count of pages can be read without decrypting. Titles can't, and are left out."""

    return Reader
