"""What remembering costs: questions to a history of ten million events, and what recording adds to a refresh.

All lists are made up. The refresh reads 200 lists from local files, parses, compiles and publishes; between two passes
a share of the lists changes, each by a share of its entries. Recording is then done once more by itself, from the same
two snapshots into a copy of the same history.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import shutil
import sqlite3
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from bench.measure import Row
from blocklistd import Snapshot
from blocklistd.addresses import format_address
from blocklistd.catalogue import read_catalogue
from blocklistd.cli.progress import Lines
from blocklistd.index.folder import manifests
from blocklistd.index.history import FILE, History
from blocklistd.index.history_writer import Retention, record
from blocklistd.index.layout import SNAPSHOTS
from blocklistd.refresh.cycle import refresh
from blocklistd.settings import read_settings
from tests.index.ground import Ground

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS: Final = 10_000_000
PASSES: Final = 20
QUESTIONS: Final = 5_000
TARGET: Final = 5.0
"""Milliseconds that 99 of 100 questions may take."""
LISTS: Final = 200
ENTRIES: Final = 5_000
CHANGES: Final = ((0.1, 0.05), (0.5, 0.05), (1.0, 0.1))
"""Share of the lists that change, and of the entries of each that do."""
EVER: Final = Retention(3650, 2**40)


def rows(folder: Path) -> Iterator[Row]:
    """Both halves."""
    yield from _questions(folder / "history")
    yield from _recording(folder / "recording")


def _questions(data: Path) -> Iterator[Row]:
    """Fill a history by publishing, then ask it as a worker does."""
    data.mkdir()
    ground, chance = Ground(data, history_bytes=str(2**40), history_days="3650"), np.random.default_rng(7)
    pool = np.unique(chance.integers(2**24, 2**32 - 2**24, 3 * EVENTS // PASSES, dtype=np.uint32))
    size = EVENTS // PASSES // 2 * 5 // 4
    begun = 1.7e9
    for number in range(PASSES + 1):
        chosen = chance.choice(pool, 2 * size, replace=False)
        lists = {
            "singles": [(4, value, value) for value in chosen[:size].tolist()],
            "networks": list(_networks(chance)),
        }
        ground.put(lists, begun + number * 3600)
    with ground.open() as snapshot:
        connection = sqlite3.connect(data / FILE)
        count = connection.execute("SELECT sum(events) FROM generations").fetchone()[0]
        connection.close()
        yield Row("history", "events", count / 1e6, "M")
        yield Row("history", "bytes an event on disk", (data / FILE).stat().st_size / count, "B")
        taken, busy = [], []
        for value in chance.choice(pool, QUESTIONS).tolist():
            started, worked = time.perf_counter(), time.process_time()
            with History.open(data, snapshot.generation) as history:
                history.known_since()
                history.events(4, value, 1000)
            taken.append(1e3 * (time.perf_counter() - started))
            busy.append(1e3 * (time.process_time() - worked))
        yield Row("history", "events of an address, median", statistics.median(taken), "ms", note="each opens the file")
        note = f"target {TARGET:g} ms"
        yield Row("history", "events of an address, 99 of 100", float(np.quantile(taken, 0.99)), "ms", note=note)
        note = "what other programs take is left out"
        yield Row("history", "the same, processor time", float(np.quantile(busy, 0.99)), "ms", note=note)
        yield from _as_of(data, snapshot, chance.choice(pool, QUESTIONS).tolist(), begun)


def _as_of(data: Path, snapshot: Snapshot, values: list[int], begun: float) -> Iterator[Row]:
    catalogue = [one.id for one in snapshot.feeds]
    taken = []
    with History.open(data, snapshot.generation) as history:
        then = history.generation_at(begun + PASSES / 2 * 3600)
        for value in values:
            started = time.perf_counter()
            history.feeds_at(4, value, then, snapshot.lookup(value).feeds, catalogue)
            taken.append(1e3 * (time.perf_counter() - started))
    yield Row("history", "lookup --as-of, 99 of 100", float(np.quantile(taken, 0.99)), "ms")


def _networks(chance: np.random.Generator) -> Iterator[tuple[int, int, int]]:
    """Some networks of every length from /10 to /31."""
    for length in range(10, 32):
        for start in chance.integers(2**24, 2**32 - 2**24, 20).tolist():
            first = start >> (32 - length) << (32 - length)
            yield 4, first, first + 2 ** (32 - length) - 1


def _recording(folder: Path) -> Iterator[Row]:
    """What recording takes of a refresh whose lists are local files."""
    lists, data, aside = folder / "lists", folder / "data", folder / "aside"
    lists.mkdir(parents=True)
    chance = random.Random(11)
    contents = {f"list_{number:03}": _some(chance, ENTRIES) for number in range(LISTS)}
    for name, values in contents.items():
        _write(lists / name, values)
    now = [1.7e9]
    _refresh(lists, data, now)
    for share, part in CHANGES:
        quotients, events = [], 0
        for _ in range(3):
            for name in chance.sample(sorted(contents), int(share * LISTS)):
                kept = chance.sample(contents[name], int((1 - part) * ENTRIES))
                contents[name] = kept + _some(chance, ENTRIES - len(kept))
                _write(lists / name, contents[name])
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
            shutil.copy(data / FILE, aside / FILE)
            whole = _refresh(lists, data, now)
            newest, before = list(manifests(data))[:2]
            with Snapshot.open(data / SNAPSHOTS / before) as old, Snapshot.open(data / SNAPSHOTS / newest) as new:
                gc.collect()
                started = time.perf_counter()
                events = record(aside, old, new, now[0], EVER).events
                alone = time.perf_counter() - started
            quotients.append(alone / (whole - alone))
        name = f"recording, {share:.0%} of {LISTS} lists changed by {part:.0%}"
        note = f"of the rest of the refresh; {events:,} events, target 0.2"
        yield Row("history", name, statistics.median(quotients), "x", note=note)


def _refresh(lists: Path, data: Path, now: list[float]) -> float:
    """Seconds of one pass over all lists."""
    now[0] += 3600
    feeds = [
        {"id": path.name, "url": f"file://{path}", "format": "lines", "category": "attacker", "gate": "none"}
        for path in sorted(lists.iterdir())
    ]
    catalogue = read_catalogue(json.dumps({"feeds": feeds}), "feeds.yaml")
    settings = read_settings({"data": str(data), "keep_snapshots": "3"}, {})
    with Path("/dev/null").open("w") as nowhere, Lines(nowhere) as listener:
        started = time.perf_counter()
        asyncio.run(refresh(catalogue, settings, listener, force=True, canaries=(), clock=lambda: now[0]))
        return time.perf_counter() - started


def _some(chance: random.Random, count: int) -> list[int]:
    return [chance.randrange(2**24, 2**32 - 2**24) for _ in range(count)]


def _write(path: Path, values: list[int]) -> None:
    path.write_text("".join(f"{format_address(4, value)}\n" for value in values))
