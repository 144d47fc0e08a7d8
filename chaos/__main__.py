"""``python -m chaos``: see `chaos.options` for what the environment decides. The folder of a run that failed is kept."""

import shutil
import signal
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from chaos.options import Options
from chaos.run import run

_SHOWN = 40


def main() -> int:
    """Run; the exit code."""
    try:
        options = Options.from_environment()
    except ValueError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the stack is stopped, and the small disk unmounted
    home = Path(mkdtemp(prefix="chaos-"))
    home.chmod(0o755)  # Postgres may run as another user
    began = time.monotonic()
    print(
        f"SEED={options.seed} MINUTES={options.seconds / 60:g} FAULTS='{' '.join(sorted(options.faults))}', in {home}"
    )
    report = run(home, options, lambda line: print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True))
    for name, value in report.summary.items():
        print(f"{name}: {value}")
    if not report.wrong:
        shutil.rmtree(home, ignore_errors=True)
        print(f"All is well. SEED={options.seed}")
        return 0
    print(f"\n{len(report.wrong)} things are wrong; SEED={options.seed}; journals, logs and data are in {home}:")
    for difference in report.wrong[:_SHOWN]:
        print(f"  {difference.sentence[:600]}")
    for path, about in report.stories.items():
        print(f"  the story of {about[0].key or about[0].file_id!r} is in {path}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
