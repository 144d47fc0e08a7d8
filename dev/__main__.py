"""``python -m dev run | services | put FILE [KEY] | dead …``; see `dev.cli`.

A Python of any age must be able to parse this file, so that it can say that it is too old instead of failing on newer
syntax.
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
