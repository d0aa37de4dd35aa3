"""Run as a program: commits and holds version after version of one feed until it is killed.

Each version has two parts that follow from its number. With a second argument it commits one version and kills
itself right before the file operation of that number.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from pathlib import Path

from blocklistd.collect.state import FeedState, Held, Part, digest_of_parts, read_state
from blocklistd.collect.store import Candidate, commit, hold


def body(version: int, part: int) -> bytes:
    """The body of a part: known from its version alone, sometimes the same as in the version before."""
    return f"{version // (1 + part)} {part}\n".encode() + random.Random(version // (1 + part)).randbytes(20_000)


def write(data: Path, number: int, content: bytes) -> Part:
    """A candidate of these bytes."""
    with Candidate(data, "made", 2**20) as candidate:
        candidate.write(content)
        return candidate.finish(f"https://lists.example/{number}")


def put(data: Path, version: int) -> None:
    """Commit one version, then hold one in quarantine that shares its first part."""
    parts = [write(data, number, body(version, number)) for number in range(2)]
    before = read_state(data, "made").held
    state = FeedState("made", reason=str(version), held=before)
    state = commit(data, state, parts, durable=version % 2 == 0)
    doubted = (state.parts[0], write(data, 1, body(version, 7)))
    hold(data, state, Held(doubted, digest_of_parts(doubted), "shrink", str(version), 1, 1.0, 1.0))
    sys.stdout.write(f"{version}\n")
    sys.stdout.flush()


def die_at(step: int) -> None:
    """Kill this process right before the file operation of that number, from 0."""
    left = step

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in {"open", "os.rename", "os.remove", "os.chmod", "os.mkdir"}:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def main(data: Path, step: str = "") -> None:
    version = int(read_state(data, "made").reason or 0)
    if step:
        die_at(int(step))
        put(data, version + 1)
        return
    while True:
        version += 1
        put(data, version)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
