"""The short form of `make chaos`: everything goes wrong for a while, and after one repair the catalogue holds what S3 does."""

import os
import shutil
from pathlib import Path
from secrets import token_hex
from tempfile import mkdtemp

from chaos.options import Options
from chaos.run import run

_SECONDS = 40  # healing takes about as long again


def test_whatever_goes_wrong_the_catalogue_is_what_the_buckets_hold_after_one_repair() -> None:
    """The folder of a run that fails is kept: it has the story of each key that differs. Before the repair, events that were lost
    must have left differences: else this would pass whatever it compares."""
    options = Options(os.environ.get("SEED") or token_hex(4), _SECONDS)
    # Not in pytest's own folder, which is closed to others: as root, Postgres runs as another user.
    home = Path(mkdtemp(prefix="chaos-"))
    home.chmod(0o755)
    report = run(home, options, print)
    assert [difference.sentence for difference in report.wrong] == [], f"SEED={options.seed}; journals and logs: {home}"
    assert report.before > 0
    shutil.rmtree(home, ignore_errors=True)
