"""First and last seen, carried from version to version, against a naive memory of single addresses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd.index.history import ABSENT, KEPT, LISTED
from blocklistd.index.seen import ON_LIST
from blocklistd.index.stretches import (
    Stretches,
    carry,
    differences,
    kept_of,
    no_stretches,
    runs_out,
)
from blocklistd.networks import Networks
from tests.index.ground import column_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SPACE = 24
BASES = {4: 2**32 - SPACE, 6: 2**128 - SPACE}
"""The last addresses of a family, so that the end of all space is among them; ::/0's begin is below."""


class Entry(NamedTuple):
    """A range of the small space with the times that the list gives, 0 for none."""

    start: int
    end: int
    first: int = 0
    last: int = 0


class Memory:
    """The oracle: for every single address (first, last, kept), by the rules as the documentation words them."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[int, int, bool]] = {}

    def step(self, entries: Sequence[Entry], *, now: int, confirmed: int, keep: int) -> None:
        before, self.known = self.known, {}
        for value in range(SPACE):
            over = [entry for entry in entries if entry.start <= value <= entry.end]
            if value in before:
                first, last, kept = before[value]
                left = last if kept or last != ON_LIST else confirmed
            if over:
                since = now
                if value in before and (not kept or now - left <= keep):
                    since = first
                firsts, lasts = [e.first for e in over if e.first], [e.last for e in over if e.last]
                since = min(*firsts, now) if firsts else since
                until = min(max(lasts), now) if lasts else ON_LIST
                self.known[value] = min(since, until), until, False
            elif value in before and keep and now - left <= keep:
                self.known[value] = first, left, True


def networks(family: int, entries: Sequence[Entry], *, timed: bool = False) -> Networks:
    base = BASES[family]
    bounds = [[base + value for value in column] for column in ([e.start for e in entries], [e.end for e in entries])]
    first, last = (column_of(family, values) for values in bounds)
    columns = {}
    if timed:
        columns["first_seen"] = np.array([e.first for e in entries], np.uint32)
        columns["last_seen"] = np.array([e.last for e in entries], np.uint32)
    return Networks(family, first, last, columns)


def covered(family: int, entries: Sequence[Entry]) -> Networks:
    """The union of entries as disjoint ranges."""
    inside = [any(e.start <= value <= e.end for e in entries) for value in range(SPACE)]
    runs, value = [], 0
    while value < SPACE:
        if inside[value]:
            end = value
            while end + 1 < SPACE and inside[end + 1]:
                end += 1
            runs.append(Entry(value, end))
            value = end
        value += 1
    return networks(family, runs)


def integers(column: NDArray[Any]) -> list[int]:
    return [v if isinstance(v, int) else v[0] << 64 | v[1] for v in column.tolist()]


def spelled_out(stretches: Stretches) -> dict[int, tuple[int, int, bool]]:
    """Every single address of the small space with its times; stretches must be disjoint and ascending."""
    known = {}
    base = BASES[stretches.family]
    previous = None
    starts, ends = integers(stretches.start), integers(stretches.end)
    for start, end, *times in zip(
        starts, ends, *(c.tolist() for c in (stretches.first, stretches.last, stretches.kept)), strict=True
    ):
        assert start <= end
        if previous is not None:
            assert previous[0] < start
            assert previous[0] + 1 < start or previous[1] != times, "neighbours with equal times are one"
        previous = end, times
        for value in range(start, end + 1):
            known[value - base] = tuple(times)
    return known


entry = st.builds(
    lambda start, size, first, last: Entry(start, min(SPACE - 1, start + size), first, last),
    st.integers(0, SPACE - 1),
    st.sampled_from([0, 0, 0, 1, 3, 7, SPACE]),
    st.sampled_from([0, 0, 5, 50, 5_000]),
    st.sampled_from([0, 0, 7, 70, 7_000]),
)
version = st.tuples(st.lists(entry, max_size=6), st.integers(1, 40), st.integers(0, 20))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(version, min_size=1, max_size=6), st.sampled_from([0, 0, 30, 1000]), st.booleans(), st.sampled_from([4, 6])
)
def test_times_are_those_of_a_naive_memory(
    versions: list[tuple[list[Entry], int, int]], keep: int, timed: bool, family: int
) -> None:
    """Version after version, every single address has the first and last seen that remembering each would give."""
    memory, now, stretches = Memory(), 100, None
    for entries, pause, idle in versions:
        rows = entries if timed else [Entry(e.start, e.end) for e in entries]
        confirmed, now = now + min(idle, pause), now + pause
        before = no_stretches(family) if stretches is None else stretches
        own = networks(family, rows, timed=True) if timed else None
        stretches = carry(
            stretches, covered(family, rows), now=now, arrived=now, given=own, confirmed=confirmed, keep=keep
        )
        memory.step(rows, now=now, confirmed=confirmed, keep=keep)
        assert spelled_out(stretches) == memory.known
        assert_differences(before, stretches)


def assert_differences(before: Stretches, after: Stretches) -> None:
    """Exactly the addresses whose state changed are in the differences, each once, with both states."""
    told = {}
    changes = differences(before, after)
    rows = zip(integers(changes.start), integers(changes.end), changes.before, changes.after, strict=True)
    for start, end, was, now in rows:
        for value in range(start, end + 1):
            assert value not in told
            told[value] = int(was), int(now)
    states = [
        {BASES[s.family] + v: KEPT if kept else LISTED for v, (_, _, kept) in spelled_out(s).items()}
        for s in (before, after)
    ]
    values = states[0].keys() | states[1].keys()
    pairs = {value: (states[0].get(value, ABSENT), states[1].get(value, ABSENT)) for value in values}
    assert told == {value: pair for value, pair in pairs.items() if pair[0] != pair[1]}


def test_two_halves_that_become_one_network_are_no_event() -> None:
    """A list that writes 0-7 instead of 0-3 and 4-7 changes nothing, and each half keeps its own first seen."""
    one = carry(None, covered(4, [Entry(0, 3)]), now=100, arrived=100)
    two = carry(one, covered(4, [Entry(0, 3), Entry(4, 7)]), now=200, arrived=200, confirmed=150)
    whole = carry(two, covered(4, [Entry(0, 7)]), now=300, arrived=300, confirmed=250)
    assert len(differences(two, whole).start) == 0
    assert [spelled_out(whole)[value][0] for value in (0, 3, 4, 7)] == [100, 100, 200, 200]


@pytest.mark.parametrize(("away", "first"), [(30, 100), (31, 231)])
def test_what_returns_while_it_is_kept_continues(away: int, first: int) -> None:
    """Within ``keep`` of its last confirmation an entry comes back as the old one, later as a new one."""
    here, gone = covered(4, [Entry(5, 5)]), covered(4, [])
    known = carry(None, here, now=100, arrived=100, keep=30)
    known = carry(known, gone, now=201, arrived=201, confirmed=200, keep=30)
    assert spelled_out(known) == {5: (100, 200, True)}
    known = carry(known, here, now=200 + away, arrived=200 + away, confirmed=201, keep=30)
    assert spelled_out(known) == {5: (first, ON_LIST, False)}


def test_what_was_kept_runs_out() -> None:
    """Kept stretches are told apart, and it is known when the first of them has been kept for long enough."""
    known = carry(None, covered(4, [Entry(5, 5), Entry(7, 8)]), now=100, arrived=100, keep=30)
    known = carry(known, covered(4, [Entry(8, 8)]), now=160, arrived=160, confirmed=150, keep=30)
    assert integers(kept_of(known).first) == [BASES[4] + 5, BASES[4] + 7]
    assert not runs_out(known, now=180, keep=30)
    assert runs_out(known, now=181, keep=30)
    known = carry(known, covered(4, [Entry(8, 8)]), now=181, arrived=181, confirmed=180, keep=30)
    assert spelled_out(known) == {8: (100, ON_LIST, False)}
