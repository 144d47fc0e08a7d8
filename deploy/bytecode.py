"""``python -S -B deploy/bytecode.py FOLDER ROOT``: compile every module below ``FOLDER``, which Lambda will find below ``ROOT``.

Lambda's folders can't be written to. Without bytecode in a package, each cold start compiles all that it imports anew, which
takes several times as long as to run it. The bytecode is not checked against the source: nothing changes it there.

It is a process of its own, because what Python writes depends on which names other modules have used before.
"""

import sys
from pathlib import Path
from py_compile import PycInvalidationMode, PyCompileError, compile

if __name__ == "__main__":
    folder, root = Path(sys.argv[1]), sys.argv[2]
    for path in sorted(folder.rglob("*.py")):
        try:
            compile(
                str(path),
                dfile=f"{root}/{path.relative_to(folder)}",
                doraise=True,
                invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
            )
        except PyCompileError:
            continue  # a template, or meant for another Python; whoever imports it will hear of it
