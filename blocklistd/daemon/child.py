"""The first breath of a refresh child: ``python -m blocklistd.daemon.child PARENT ARGUMENT…``.

Makes itself nice and tied to the life of its parent, then becomes ``blocklistd ARGUMENT…``. Both survive the exec.
Where the system offers no such tie (it is Linux's), the deadline of the refresh is all that ends an orphan.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Final

NICENESS: Final = 10
PR_SET_PDEATHSIG: Final = 1


def tie_to(parent: int) -> None:
    """Get SIGTERM when the parent dies; end at once if it is dead already."""
    # MemoryError: some builds of ctypes need writable and executable memory, which a hardened service forbids
    with suppress(ImportError, OSError, AttributeError, MemoryError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Become the command."""
    with suppress(OSError):
        os.nice(NICENESS)
    tie_to(int(arguments[0]))
    os.execv(sys.executable, [sys.executable, "-m", "blocklistd", *arguments[1:]])  # noqa: S606 - ourselves


if __name__ == "__main__":
    main(sys.argv[1:])
