"""``python -m dev run | services | put FILE [KEY] | dead …``; see `dev.cli`.

Plain enough for a Python of any age to parse: it has to say that it is too old, not fail on newer syntax.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.stderr.write("landfall: Python 3.11 or newer is needed, and this is %s.\n" % sys.version.split()[0])  # noqa: UP031
    sys.exit(1)

try:
    from dev.cli import main

    sys.exit(main(sys.argv[1:]))
except KeyboardInterrupt:
    sys.exit(130)
