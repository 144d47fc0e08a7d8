"""How an audit's progress and its report look in a terminal."""

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chalicelib.catalog.audits import Audit

_SHOWN = 4  # examples of each kind
_WIDTH = 24


class Progress:
    """A line that is written over again: how far, how fast, and how long it takes yet if that is known."""

    def __init__(self, expected: int, *, is_shown: bool) -> None:
        """``expected``: versions that the catalogue knows; 0 if nothing is known."""
        self._expected, self._is_shown, self._began = expected, is_shown, time.monotonic()

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began

    def show(self, audit: "Audit") -> None:
        """Show how far an audit is."""
        if self._is_shown:
            print(f"\r\033[K{progress_line(audit, self._expected, self.seconds)}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Clear the line."""
        if self._is_shown:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def progress_line(audit: "Audit", expected: int, seconds: float) -> str:
    """A bar, if the catalogue lets expect how many versions there are; what was compared, how fast, and what differs."""
    rate = audit.compared / seconds if seconds else 0
    counts = f"{audit.compared:,} compared, {rate:,.0f}/s, {audit.drift:,} differ"
    if audit.state == "settling":
        return f"{counts}; {audit.unsure + audit.gone:,} to look at again"
    if audit.state != "listing":
        return f"{counts}; {audit.state}"
    # The bucket may hold more than the catalogue knows: then nobody can say.
    if not audit.compared or audit.compared > expected:
        return counts
    done = audit.compared / expected
    left = round((expected - audit.compared) / rate) if rate else 0
    bar = "#" * int(done * _WIDTH)
    return f"[{bar:.<{_WIDTH}}] {done:4.0%}  {counts}; {left // 60}:{left % 60:02} left"


def report(audit: "Audit", seconds: float) -> str:
    """What was found, by kind, with examples."""
    where = f"{audit.bucket}/{audit.prefix}" if audit.prefix else audit.bucket
    lines = [
        f"{where}: {audit.compared:,} versions compared in {seconds:.1f} s; {audit.state}.",
        f"  missing   {audit.missing:>12,}  in the bucket alone",
        f"  different {audit.different:>12,}  the catalogue has them otherwise",
        f"  gone      {audit.gone:>12,}  in the catalogue alone",
    ]
    if audit.repairs:
        lines.append(f"  recorded  {audit.recorded:>12,}  changes that put this right")
    if audit.problem:
        lines.append(f"  {audit.problem}")
    for kind in ("missing", "different", "gone"):
        some = [one for one in audit.examples if one.kind == kind][:_SHOWN]
        lines += [f"  {kind}: {one.key!r} {one.version_id}".rstrip() for one in some]
    return "\n".join(lines)
