"""How cost grows with the lists: ten thousand to ten million segments, and ten million lines with a bound on memory.

Made-up lists, ten of each size, every line an address or a /24 anywhere, so that two lines in three begin or end a
segment of their own. ``python -m bench.growth FOLDER FILE…`` is the process that is measured: parse, flatten, write,
open, ask. Its peak is that of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.measure import Row
from bench.union import compile_cold
from blocklistd import kernel
from blocklistd.index.layout import SECTIONS, Section
from blocklistd.index.search import Segments4, Segments6, open_lookup
from blocklistd.index.snapshot import address_of
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PART = "growth"
LISTS = 10
SIZES = {"10 k": 5_400, "100 k": 54_000, "1 M": 540_000, "10 M": 5_400_000}
"""Segments, about → lines of all lists together."""
MANY = 10_000_000
TARGETS = {kernel.COMPILED: 8, kernel.PURE: 20}
QUESTIONS = 20_000
BATCH = 100_000
"""So many lines are made at a time."""


def rows(folder: Path) -> Iterator[Row]:
    """Every size with both kinds of code, one process each."""
    for name, lines in SIZES.items():
        files = _files(folder / "growth", lines)
        for choice in reversed(kernel.CHOICES):
            said = _run(folder, files, choice)
            note = f"{said['segments']:,} segments of {lines:,} lines; {said['bytes'] / 1e6:,.1f} MB on disk"
            yield Row(PART, f"{name} segments, cold compile: {choice}", said["seconds"] * 1e3, "ms", note=note)
            yield Row(PART, f"{name} segments, lookup: {choice}", said["lookup"] * 1e6, "µs")
        shutil.rmtree(folder / "growth")
    files = _files(folder / "growth", MANY)
    for choice in reversed(kernel.CHOICES):
        said = _run(folder, files, choice)
        note = f"target at most {TARGETS[choice]} s; {said['segments']:,} segments"
        yield Row(PART, f"{MANY:,} lines, cold compile: {choice}", said["seconds"], "s", note=note)
        yield Row(
            PART, f"{MANY:,} lines, peak memory: {choice}", said["peak"] / 1e6, "MB", note="target at most 1,500 MB"
        )
    shutil.rmtree(folder / "growth")


def _files(folder: Path, lines: int) -> list[Path]:
    folder.mkdir(parents=True)
    chance = np.random.default_rng(6)
    files = [folder / f"list_{number}" for number in range(LISTS)]
    for path in files:
        with path.open("w") as file:
            for begun in range(0, lines // LISTS, BATCH):
                count = min(BATCH, lines // LISTS - begun)
                octets = chance.integers(1, 224, (count, 4)).tolist()
                short = chance.random(count) < 0.1
                file.writelines(
                    f"{a}.{b}.{c}.0/24\n" if net else f"{a}.{b}.{c}.{d}\n"
                    for (a, b, c, d), net in zip(octets, short.tolist(), strict=True)
                )
    return files


def _run(folder: Path, files: Sequence[Path], choice: str) -> dict[str, Any]:
    data = folder / "growth-data"
    shutil.rmtree(data, ignore_errors=True)
    environment = program.environment(folder, folder / "none", kernel=choice)
    command = [sys.executable, "-m", "bench.growth", str(data), *map(str, files)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=True)
    shutil.rmtree(data)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def main(data: Path, files: Sequence[Path]) -> None:
    """Compile, open and ask; print what it took."""
    begun = time.perf_counter()
    sections = compile_cold(data, files).compiled.sections
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    four, six = (Section(data / SECTIONS / sections[role].name, sections[role]) for role in ("v4", "v6"))
    ids = tuple(path.name for path in files)
    segments = Segments4(four, ids)
    searcher = open_lookup(segments, Segments6(six, ids), address_of)
    octets = np.random.default_rng(7).integers(1, 224, (QUESTIONS, 4)).tolist()
    asked = [".".join(map(str, address)) for address in octets]
    lookup = min(_seconds(searcher.lookup, asked) for _ in range(5))
    said = {"seconds": seconds, "peak": peak, "segments": len(segments), "lookup": lookup}
    print(json.dumps(said | {"bytes": sections["v4"].size}))


def _seconds(ask: Any, asked: Sequence[str]) -> float:
    begun = time.perf_counter()
    for question in asked:
        ask(question)
    return (time.perf_counter() - begun) / len(asked)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
