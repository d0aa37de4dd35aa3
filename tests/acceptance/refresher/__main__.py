"""Refreshes on command, each in a process forked from one that has imported everything.

    python -m tests.acceptance.refresher

For every line on standard input one ``blocklistd refresh --force`` runs as its users run it (settings come from the
environment), only without paying for imports a hundred times. On standard output: ``pid N``, what the refresh
says, ``end STATUS``.
"""

from __future__ import annotations

import os
import sys

from blocklistd import cli
from blocklistd.cli import refresh

assert refresh.command is not None


def main() -> None:
    """Fork, tell, wait, tell; until standard input ends."""
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            print(f"pid {os.getpid()}", flush=True)  # noqa: T201  this is how it answers
            os.dup2(1, 2)
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            os.dup2(1, 0)
            try:
                cli.main(["refresh", "--force"])
            except SystemExit as end:
                os._exit(int(end.code or 0))
            os._exit(99)
        _, status = os.waitpid(pid, 0)
        print(f"end {os.waitstatus_to_exitcode(status)}", flush=True)  # noqa: T201  the same


if __name__ == "__main__":
    main()
