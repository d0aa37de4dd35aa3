"""The dated versions of real lists, refreshed one after the other, remember what a naive replay remembers.

The replay keeps a state for every single address it was asked to watch, and knows nothing of ranges, snapshots or
databases: first and last seen, events, and which lists named an address at any time must be equal.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from blocklistd import Snapshot, UsageError
from blocklistd.addresses import format_address
from blocklistd.catalogue import read_catalogue
from blocklistd.cli.progress import Lines
from blocklistd.index.history import History
from blocklistd.index.seen import ON_LIST, Seen, Sighted
from blocklistd.refresh.cycle import refresh
from blocklistd.settings import read_settings
from tests import corpus
from tests.acceptance import oracle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from blocklistd.refresh.report import RefreshReport
    from tests.acceptance.oracle import Address

pytestmark = [
    pytest.mark.skipif(not corpus.CORPUS.is_dir(), reason="the corpus is not on this machine"),
    pytest.mark.timeout(120),
]

HOUR, DAY = 3_600, 86_400
KEPT_FOR = {
    "blocklist_de.ipset": 13 * HOUR,
    "botscout.ipset": 30 * DAY,
    "drop_v4.json": 3 * DAY,
    "tor-exit.txt": 36 * HOUR,
    "latest.exits.csv": 2 * DAY,
}
"""Lists whose entries still count after they left, and for how long."""
WATCHED = 6_000
TOP = {4: 2**32 - 1, 6: 2**128 - 1}


class Past(NamedTuple):
    """What the replay knows of an address on a list."""

    first: int
    last: int
    kept: bool


@dataclass
class ListReplay:
    """One list: the state of every address, step by step."""

    keep: int
    known: dict[Address, Past] = field(default_factory=dict)
    confirmed: int = 0
    began: int = 0
    """When it had its first version, 0 before."""

    def step(self, covered: set[Address], now: int) -> Iterator[tuple[Address, str]]:
        """The list is fetched and names these of the watched addresses. Gives what happened to which."""
        new = not self.began
        self.began = self.began or now
        before, self.known = self.known, {}
        for address in covered:
            past = before.get(address)
            if past is None or (past.kept and now - past.last > self.keep):
                self.known[address] = Past(now, ON_LIST, kept=False)
            else:
                self.known[address] = Past(past.first, ON_LIST, kept=False) if past.kept else past
            if (past is None or past.kept) and not new:
                yield address, "added"
        for address, past in before.items():
            if address in covered:
                continue
            left = past.last if past.kept else self.confirmed
            if self.keep and now - left <= self.keep:
                self.known[address] = Past(past.first, left, kept=True)
            if address not in self.known or not past.kept:
                yield address, "expired" if past.kept else "removed"
        self.confirmed = now


@dataclass
class Replayed:
    """What both sides say after the last step."""

    data: Path
    moments: list[int]
    """The time of each pass."""
    lists: dict[str, ListReplay]
    own: dict[str, list[Address]]
    """For each list the borders of all its versions."""
    watched: list[Address]
    events: dict[Address, list[tuple[int, str, str]]]
    named: list[dict[Address, set[str]]]
    """After each pass, which lists name which of the watched addresses."""


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Replay all versions, by refreshing and naively."""
    folder = tmp_path_factory.mktemp("history")
    steps = sorted((moment_of(path.name), path) for path in (corpus.CORPUS / "history").iterdir())
    files = {file.name for _, path in steps for file in path.iterdir()}
    names = sorted(name for name in files if sum((path / name).exists() for _, path in steps) > 1)
    versions = {
        (name, at): list(oracle.read_list(path.parent, f"{path.name}/{name}").ranges())
        for at, path in steps
        for name in names
        if (path / name).exists()
    }
    steps = [(at, path) for at, path in steps if any((name, at) in versions for name in names)]
    assert all(versions.values()), "each version lists something"
    own = {name: borders(rows for (of, _), rows in versions.items() if of == name) for name in names}
    chance = random.Random(20161211)
    watched = sorted(set(chance.sample(sorted({a for some in own.values() for a in some}), WATCHED)))
    world = World(folder, names)
    state = Replayed(world.data, [], {n: ListReplay(KEPT_FOR.get(n, 0)) for n in names}, own, watched, {}, [])
    probes = {name: sorted({*own[name], *watched}) for name in names}
    covered: dict[str, set[oracle.Address]] = {}
    for at, path in with_quiet_passes(steps):
        for name in names:
            if (name, at) in versions:
                world.put(path / name, name)
                covered[name] = inside(versions[name, at], probes[name])
        report = world.refresh(at)
        assert not report.notes
        for name, addresses in covered.items():
            for address, event in state.lists[name].step(addresses, at):
                state.events.setdefault(address, []).append((at, corpus.feed_id(name), event))
        state.moments.append(at)
        state.named.append(naming(state, watched))
    return state


class World:
    """A data folder, a folder of lists as they are at the time, and a catalogue over them."""

    def __init__(self, folder: Path, names: Iterable[str]) -> None:
        self.lists, self.data, self.log = folder / "lists", folder / "data", folder / "log"
        self.lists.mkdir()
        entries = []
        for name in names:
            options: dict[str, Any] = corpus.LINES | corpus.reading_of(f"history/x/{name}").options
            entry = {
                "id": corpus.feed_id(name),
                "url": f"file://{self.lists / name}",
                "category": "attacker",
                **options,
            }
            entries.append(entry | {"keep": f"{KEPT_FOR.get(name, 0)}s", "gate": "none", "floor": "1s"})
        self.catalogue = read_catalogue(json.dumps({"feeds": entries}), "feeds.yaml")

    def put(self, source: Path, name: str) -> None:
        (self.lists / name).unlink(missing_ok=True)
        shutil.copy(source, self.lists / name)

    def refresh(self, now: int) -> RefreshReport:
        settings = read_settings({"data": str(self.data), "history_days": "3650"}, {})
        with self.log.open("a") as log, Lines(log) as listener:
            run = refresh(self.catalogue, settings, listener, force=True, canaries=(), clock=lambda: float(now))
            return asyncio.run(run)


def moment_of(folder: str) -> int:
    """The time that the name of a folder means; noon where it names a day."""
    day, _, hour = folder.partition("T")
    return int(datetime.fromisoformat(day).replace(hour=int(hour or 12), tzinfo=UTC).timestamp())


def with_quiet_passes(steps: list[tuple[int, Path]]) -> list[tuple[int, Path]]:
    """Between some of the versions nothing new comes in, but time passes."""
    quiet = [(at + 7 * HOUR, path) for at, path in steps if re.search("-(12T02|21)$", path.name)]
    return sorted([*steps, *quiet])


def borders(versions: Iterable[list[oracle.Range]]) -> list[Address]:
    """Every address at which an answer may change, and its neighbours."""
    found = {
        (family, value)
        for rows in versions
        for family, first, last in rows
        for value in (first - 1, first, last, last + 1)
    }
    return sorted((family, value) for family, value in found if 0 <= value <= TOP[family])


def inside(ranges: list[oracle.Range], probes: list[Address]) -> set[Address]:
    """Which of the sorted addresses are in some range."""
    return {
        address
        for family, first, last in ranges
        for address in probes[bisect_left(probes, (family, first)) : bisect_right(probes, (family, last))]
    }


def naming(state: Replayed, watched: list[Address]) -> dict[Address, set[str]]:
    named: dict[Address, set[str]] = {address: set() for address in watched}
    for name, replay in state.lists.items():
        for address in named.keys() & replay.known.keys():
            named[address].add(corpus.feed_id(name))
    return named


def test_first_and_last_seen_are_those_of_the_replay(replayed: Replayed) -> None:
    """At and beside every border of every version of every list."""
    with Snapshot.open_current(replayed.data) as snapshot:
        records = {record.id: record for record in snapshot.feeds}
        told = 0
        for name, addresses in replayed.own.items():
            feed = corpus.feed_id(name)
            section = snapshot.seen_section(feed)
            known = replayed.lists[name].known
            assert section is not None, "each of these lists has changed"
            seen = Seen(section)
            for address in addresses:
                past, found = known.get(address), seen.at(*address)
                assert found == (None if past is None else Sighted(past.first, past.last, not past.kept))
                told += past is not None
            assert int(records[feed].fetched_at) == replayed.moments[-1]
        assert told > 10_000
        assert any(past.kept for replay in replayed.lists.values() for past in replay.known.values())


def test_the_events_of_an_address_are_those_of_the_replay(replayed: Replayed) -> None:
    """Every addition, removal and expiry, by list and with its time, newest first."""
    kinds = set()
    with Snapshot.open_current(replayed.data) as snapshot, History.open(replayed.data, snapshot.generation) as history:
        for address in replayed.watched:
            told = [(int(event.at), event.feed, event.name) for event in history.events(*address, limit=1000)]
            expected = sorted(replayed.events.get(address, []), key=lambda event: (-event[0], event[1]))
            assert told == expected
            kinds |= {event for _, _, event in expected}
    assert kinds == {"added", "removed", "expired"}


def test_the_past_is_that_of_the_replay(replayed: Replayed) -> None:
    """At, just before and between passes; before the first of them it is said since when the past is known."""
    chance = random.Random(2021)
    changed = 0
    with Snapshot.open_current(replayed.data) as snapshot, History.open(replayed.data, snapshot.generation) as history:
        for address in replayed.watched:
            present = snapshot.lookup(format_address(*address)).feeds
            assert set(present) == replayed.named[-1][address]
            catalogue = [record.id for record in snapshot.feeds]
            for number in chance.sample(range(len(replayed.moments)), 3):
                named, then = replayed.named[number][address], history.generation_at(replayed.moments[number])
                assert set(history.feeds_at(*address, then, present, catalogue)) == named
                changed += named != replayed.named[-1][address]
                if number:
                    just_before = history.generation_at(replayed.moments[number] - 1)
                    earlier = history.feeds_at(*address, just_before, present, catalogue)
                    assert set(earlier) == replayed.named[number - 1][address]
        assert history.known_since() == replayed.moments[0]
        with pytest.raises(UsageError, match="known since 2016-12-11T07:00:00Z"):
            history.generation_at(replayed.moments[0] - 1)
    assert changed > 1_000
