"""The history: events against a naive replay, broken chains, damage, retention."""

from __future__ import annotations

import ipaddress
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd import Snapshot, StorageFailed, UsageError
from blocklistd.addresses import parse_address
from blocklistd.index.blocks import blocks4, blocks6
from blocklistd.index.folder import manifests
from blocklistd.index.history import CODES, FILE, LISTED, History, key_of, masked
from blocklistd.index.history_writer import Retention, record
from blocklistd.index.layout import SECTIONS, SNAPSHOTS
from blocklistd.index.publish import manifest_of, next_generation, publish
from blocklistd.index.stretches import Changes
from tests.index.ground import Ground, Range, column_of

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86_400
NOON = 1_764_590_400.0
"""2025-12-01T12:00:00Z"""
ONE = parse_address("192.0.2.1")
ONLY = {"one": [(4, ONE.value, ONE.value)]}
NOTHING: dict[str, Sequence[Range]] = {"one": []}
BASE = {4: 2**32 - 16, 6: 2**128 - 16}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


short = st.tuples(st.integers(0, 15), st.sampled_from([0, 0, 1, 5])).map(lambda t: (t[0], min(15, t[0] + t[1])))
ranges = st.lists(st.tuples(st.sampled_from([4, 6]), short), max_size=4).map(
    lambda rows: [(family, BASE[family] + first, BASE[family] + last) for family, (first, last) in rows]
)
passes = st.lists(st.dictionaries(st.sampled_from(["one", "two", "three"]), ranges, min_size=1), min_size=2, max_size=6)


@settings(max_examples=15, deadline=None)
@given(passes, st.sampled_from([0, 0, 2, 3]))
def test_events_and_past_are_those_of_a_naive_replay(lists: list[dict[str, list[Range]]], keep: int) -> None:
    """Feeds come, go and return, entries are kept or not: every address tells what remembering it would."""
    with tempfile.TemporaryDirectory() as folder:
        ground = Ground(Path(folder))
        memory = Memory(keep * DAY)
        options = {name: {"keep": f"{keep}d"} for name in ("one", "two", "three")} if keep else {}
        for number, named in enumerate(lists):
            ground.put(named, NOON + number * DAY, **options)
            memory.step(named, NOON + number * DAY)
        with ground.open() as snapshot, History.open(ground.data, snapshot.generation) as history:
            catalogue = [one.id for one in snapshot.feeds]
            for family, base in BASE.items():
                for value in range(base, base + 16):
                    told = [(event.at, event.feed, event.name) for event in history.events(family, value, limit=99)]
                    assert sorted(told) == sorted(memory.events.get((family, value), []))
                    present = [name for name in catalogue if (name, family, value) in memory.known]
                    for number, then in enumerate(memory.named):
                        generation = history.generation_at(NOON + number * DAY)
                        at = history.feeds_at(family, value, generation, present, catalogue)
                        assert set(at) == then.get((family, value), set())


class Memory:
    """For every feed and single address since when it is kept (0: it is on the list)."""

    def __init__(self, keep: float) -> None:
        self.keep = keep
        self.known: dict[tuple[str, int, int], float] = {}
        self.met: set[str] = set()
        self.confirmed: dict[str, float] = {}
        self.events: dict[tuple[int, int], list[tuple[float, str, str]]] = {}
        self.named: list[dict[tuple[int, int], set[str]]] = []

    def step(self, lists: dict[str, list[Range]], now: float) -> None:
        before, self.known = self.known, {}
        for name, rows in lists.items():
            for family, first, last in rows:
                self.known |= {(name, family, value): 0.0 for value in range(first, last + 1)}
        for key, kept_since in before.items():
            left = kept_since or self.confirmed[key[0]]
            if key[0] in lists and key not in self.known and self.keep and now - left <= self.keep:
                self.known[key] = left
        for key in before.keys() | self.known.keys():
            was, now_is = before.get(key), self.known.get(key)
            event = "added" if now_is == 0 and was != 0 else None
            if was is not None and (now_is is None or (now_is and not was)):
                event = "expired" if was else "removed"
            if event and key[0] in self.met:
                self.events.setdefault(key[1:], []).append((now, key[0], event))
        self.met |= lists.keys()
        self.confirmed = dict.fromkeys(lists, now)
        named: dict[tuple[int, int], set[str]] = {}
        for name, family, value in self.known:
            named.setdefault((family, value), set()).add(name)
        self.named.append(named)


def test_a_file_that_cannot_be_made_holds_up_no_snapshot(ground: Ground) -> None:
    """Trouble of any kind with the history is told, and the snapshot is published all the same."""
    (ground.data / FILE).symlink_to(ground.data / "missing" / FILE)
    done = ground.put(ONLY, NOON)
    assert done.snapshot is not None
    assert "could not be recorded" in done.notes[0]


def test_the_first_snapshot_is_a_baseline(ground: Ground) -> None:
    """It costs no event; the past is known from it on, and a time before it is refused with that moment."""
    ground.put(ONLY, NOON)
    assert ground.events(*ONE) == []
    assert ground.known_since() == NOON
    with (
        ground.open() as snapshot,
        History.open(ground.data, snapshot.generation) as history,
        pytest.raises(UsageError, match="is known since 2025-12-01T12:00:00Z"),
    ):
        history.generation_at(NOON - 1)


READER = """
import os, sys
from pathlib import Path
from blocklistd.index.history import History
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(12346)
    os.setuid(12347)
with History.open(Path(sys.argv[1]), int(sys.argv[2])) as history:
    print(history.known_since())
"""


def test_who_may_only_read_the_folder_asks_about_the_past(tmp_path: Path) -> None:
    """A member of the group can, although nothing has the file open and nobody may make what SQLite keeps beside it."""
    data = Path(tempfile.mkdtemp())  # not below tmp_path, which others may not enter
    try:
        ground = Ground(data)
        ground.put(ONLY, NOON)
        with ground.open() as snapshot:
            generation = snapshot.generation
        for path in (data, data / FILE):
            if os.geteuid() == 0:
                os.chown(path, 12345, 12346)
        data.chmod(0o550)
        command = [sys.executable, "-c", READER, str(data), str(generation)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    finally:
        data.chmod(0o750)
        shutil.rmtree(data)
    assert done.stdout.strip() == str(float(NOON)), done.stderr


def test_a_feed_that_was_not_there_yet_named_nothing(ground: Ground) -> None:
    """Its first appearance is no event, but before it the feed is not among the answers of the past."""
    ground.put({"one": []}, NOON)
    ground.put({"one": [], "two": [(4, ONE.value, ONE.value)]}, NOON + DAY)
    assert ground.events(*ONE) == []
    with ground.open() as snapshot, History.open(ground.data, snapshot.generation) as history:
        for moment, feeds in ((NOON, ()), (NOON + DAY, ("two",))):
            assert history.feeds_at(*ONE, history.generation_at(moment), ("two",), ("one", "two")) == feeds


def about_to_be_published(ground: Ground, like: str) -> Snapshot:
    """A snapshot as it stands between recording and publishing: the content of an older one, the next generation."""
    with Snapshot.open(ground.data / SNAPSHOTS / like) as old:
        generation = next_generation(ground.data)
        document = manifest_of(generation=generation, built_at=NOON, sections=old.sections, feeds=old.feeds)
    return Snapshot("next", document, ground.data)


def test_what_was_recorded_and_never_published_does_not_count(ground: Ground) -> None:
    """A pass killed in between leaves events that no reader sees; the next pass deletes them."""
    ground.put(ONLY, NOON)
    ground.put(NOTHING, NOON + DAY)
    first = list(manifests(ground.data))[-1]
    with ground.open() as before, about_to_be_published(ground, first) as after:
        assert record(ground.data, before, after, NOON + 2 * DAY, Retention(90, 2**30)).events == 1
    assert ground.events(*ONE) == [(NOON + DAY, "one", "removed")]
    ground.put({"one": [(4, 7, 7)]}, NOON + 3 * DAY)
    assert ground.events(*ONE) == [(NOON + DAY, "one", "removed")]
    assert ground.events(4, 7) == [(NOON + 3 * DAY, "one", "added")]


def test_a_gap_is_mended_from_the_snapshot_that_was_recorded_last(ground: Ground) -> None:
    """A pass that could not record is made up for by the next: its changes carry that one's time."""
    ground.put(NOTHING, NOON)
    ground.put(ONLY, NOON + DAY)
    first = list(manifests(ground.data))[-1]
    with Snapshot.open(ground.data / SNAPSHOTS / first) as old:
        generation = next_generation(ground.data)
        publish(ground.data, generation=generation, built_at=NOON, sections=old.sections, feeds=old.feeds)
    with ground.open() as snapshot, History.open(ground.data, snapshot.generation) as history:
        assert history.known_since() is None
        with pytest.raises(UsageError, match="the next refresh mends"):
            history.generation_at(NOON)
    ground.put({"one": [(4, 7, 7)]}, NOON + 3 * DAY)
    assert ground.events(*ONE) == [(NOON + 3 * DAY, "one", "removed"), (NOON + DAY, "one", "added")]
    assert ground.known_since() == NOON


def test_a_lost_history_begins_anew_with_the_snapshot_in_force(ground: Ground) -> None:
    """Where the file is gone, and the snapshot it ended with too, what is in force is the new baseline."""
    ground.put(ONLY, NOON)
    for path in ground.data.glob(f"{FILE}*"):
        path.unlink()
    with pytest.raises(StorageFailed, match="nothing is known of the past yet"):
        ground.events(*ONE)
    assert ground.put(NOTHING, NOON + DAY).notes == ()
    assert ground.known_since() == NOON
    assert ground.events(*ONE) == [(NOON + DAY, "one", "removed")]


def test_a_damaged_history_is_set_aside_and_answers_go_on(ground: Ground) -> None:
    """The snapshot is published, a note says what happened, and the history begins anew beside the damaged file."""
    ground.put(ONLY, NOON)
    for path in ground.data.glob(f"{FILE}-*"):
        path.unlink()
    (ground.data / FILE).write_bytes(b"no database at all" * 1000)
    with ground.open() as snapshot:
        assert snapshot.lookup("192.0.2.1").listed
        with pytest.raises(StorageFailed, match="answers do not depend on it"):
            History.open(ground.data, snapshot.generation)
    done = ground.put(NOTHING, NOON + DAY)
    assert done.snapshot is not None
    assert f"{FILE} is damaged" in done.notes[0]
    assert "begins anew" in done.notes[0]
    assert (ground.data / f"{FILE}.damaged-{int(NOON + DAY)}").exists()
    assert ground.events(*ONE) == [(NOON + DAY, "one", "removed")]


def test_a_history_of_a_newer_program_is_left_alone(ground: Ground) -> None:
    """It is neither written nor set aside; the snapshot is published with a note."""
    ground.put(ONLY, NOON)
    with sqlite3.connect(ground.data / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = ground.put(NOTHING, NOON + DAY)
    assert done.snapshot is not None
    assert "written by a newer blocklistd" in done.notes[0]
    assert not list(ground.data.glob("*.damaged-*"))


def test_a_history_of_an_older_layout_begins_anew(ground: Ground) -> None:
    """What it remembers is not carried over: the snapshot in force is the new baseline."""
    ground.put(ONLY, NOON)
    with sqlite3.connect(ground.data / FILE) as connection:
        connection.executescript("DROP TABLE events4; CREATE TABLE events4 (length, network); PRAGMA user_version = 1")
    connection.close()
    with pytest.raises(StorageFailed, match="answers do not depend on it"):
        ground.events(*ONE)
    assert ground.put(NOTHING, NOON + DAY).notes == ()
    assert ground.known_since() == NOON
    assert ground.events(*ONE) == [(NOON + DAY, "one", "removed")]


def test_many_lists_that_change_together_each_keep_their_own_events(ground: Ground) -> None:
    """More lists and events than are worked on at one time, every one of them told again and no other."""
    names = [f"list_{number:02}" for number in range(70)]
    before = {name: {100 * place + step for step in range(0, 12, 2)} for place, name in enumerate(names)}
    after = {name: {value + 2 * (place % 3) for value in before[name]} for place, name in enumerate(names)}
    for number, lists in enumerate((before, after, before)):
        ground.put({name: [(4, v, v) for v in sorted(values)] for name, values in lists.items()}, NOON + number * DAY)
    with ground.open() as snapshot, History.open(ground.data, snapshot.generation) as history:
        for name in names:
            for value in before[name] | after[name]:
                expected = []
                if value not in before[name] & after[name]:
                    came, went = (1, 2) if value in after[name] else (2, 1)
                    expected = [(NOON + came * DAY, name, "added"), (NOON + went * DAY, name, "removed")]
                told = [(event.at, event.feed, event.name) for event in history.events(4, value, limit=9)]
                assert sorted(told) == sorted(expected)


def test_what_is_older_than_the_retention_is_forgotten(tmp_path: Path) -> None:
    """Events older than so many days go, and with them the knowledge of that time; younger ones stay."""
    ground = Ground(tmp_path, history_days="3")
    for day in range(8):
        ground.put(ONLY if day % 2 else NOTHING, NOON + day * DAY)
    assert ground.known_since() == NOON + 4 * DAY
    assert [at for at, _, _ in ground.events(*ONE)] == [NOON + day * DAY for day in (7, 6, 5)]


def test_the_history_stays_within_its_disk(tmp_path: Path) -> None:
    """Beyond the budget the oldest events go first; what is left is whole."""
    ground = Ground(tmp_path, history_bytes="96KiB")
    for day in range(12):
        step = 2 + day % 2
        lists = {"one": [(4, number * step, number * step) for number in range(1000)]}
        ground.put(lists, NOON + day * DAY)
    since = ground.known_since()
    assert since is not None
    assert NOON + 6 * DAY < since < NOON + 11 * DAY
    events = [at for at, _, _ in ground.events(4, 2)]
    assert events
    assert min(events) > since
    assert (tmp_path / FILE).stat().st_size < 4 * 96 * 1024


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**18)), max_size=5),
    st.sampled_from([4, 6]),
)
def test_a_change_is_stored_as_the_networks_it_consists_of(rows: list[tuple[int, int]], family: int) -> None:
    """The blocks of a range are those of the standard library's summary, up to both ends of space."""
    bits = 32 if family == 4 else 128
    scaled = [(first << (bits - 32), min(2**bits - 1, (first << (bits - 32)) + size)) for first, size in rows]
    expected = sorted(
        (network.prefixlen, masked(family, int(network[0]), network.prefixlen))
        for first, last in scaled
        for network in ipaddress.summarize_address_range(
            *((ipaddress.IPv4Address(v) if family == 4 else ipaddress.IPv6Address(v)) for v in (first, last))
        )
    )
    start, end = (column_of(family, [row[place] for row in scaled]) for place in (0, 1))
    states = np.zeros(len(rows), np.uint8)
    changes = {3: Changes(family, start, end, states, states + LISTED)}
    told = blocks4(changes, 7).tolist() if family == 4 else blocks6(changes, 7)
    assert {tuple(row[1:]) for row in told} <= {(3, 7 * CODES + LISTED)}
    assert [row[0] for row in told] == [key_of(family, first, length) for length, first in expected]


def test_sections_of_first_and_last_seen_are_kept_as_long_as_a_snapshot_names_them(ground: Ground) -> None:
    """Clearing up leaves them, and a feed that does not change keeps its own."""
    from blocklistd.index.publish import retain

    ground.put({"one": [(4, 1, 1)], "two": [(4, 5, 5)]}, NOON)
    ground.put({"one": [(4, 1, 2)], "two": [(4, 5, 5)]}, NOON + DAY)
    ground.put({"one": [(4, 1, 2)], "two": [(4, 5, 6)]}, NOON + 2 * DAY)
    retain(ground.data, keep=1, budget=2**30)
    with ground.open() as snapshot:
        one, two = snapshot.feeds
        assert one.seen is not None
        assert two.seen is not None
        assert {one.seen.name, two.seen.name} <= {path.name for path in (ground.data / SECTIONS).iterdir()}
        seen = snapshot.sightings("0.0.0.2")[0]
        assert (seen.first_seen, seen.last_seen, seen.current) == (NOON + DAY, NOON + 2 * DAY, True)
        assert snapshot.sightings("0.0.0.1")[0].first_seen == NOON
