"""Run as a program: commits version after version of one feed until it is killed.

Each version has two parts of random length that begin with the version's number.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

from blocklistd.collect.state import read_state
from blocklistd.collect.store import Candidate, commit


def body(version: int, part: int) -> bytes:
    """The body of a part: known from its version alone, sometimes the same as in the version before."""
    return f"{version // (1 + part)} {part}\n".encode() + random.Random(version // (1 + part)).randbytes(20_000)


def main(data: Path) -> None:
    state = read_state(data, "made")
    version = int(state.reason or 0)
    while True:
        version += 1
        parts = []
        for number in range(2):
            with Candidate(data, "made", 2**20) as candidate:
                candidate.write(body(version, number))
                parts.append(candidate.finish(f"https://lists.example/{number}"))
        commit(data, type(state)("made", reason=str(version)), parts, durable=version % 2 == 0)
        sys.stdout.write(f"{version}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
