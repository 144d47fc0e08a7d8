"""Swagger UI's distribution, compressed. Chalice puts ``vendor/`` on the path, here and in Lambda."""

import gzip
from pathlib import Path

ASSETS = ("swagger-ui-bundle.js", "swagger-ui.css")


def read_text(asset: str) -> str:
    """The text of one of `ASSETS`."""
    return gzip.decompress((Path(__file__).parent / f"{asset}.gz").read_bytes()).decode()
