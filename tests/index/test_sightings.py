"""Sightings against a linear reading of the entries, and the search for a start against plain halving."""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklistd import Snapshot
from blocklistd.index.sightings import network_around
from blocklistd.index.starts import PAYS, finder4
from tests.support import make_snapshot

if TYPE_CHECKING:
    import pytest

BASE = {4: 0x14000000, 6: 0x2A00 << 112}
ranges = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 40)), max_size=8)


@given(st.sampled_from([4, 6]), st.lists(ranges, min_size=1, max_size=3))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_each_feed_shows_its_most_exact_network(
    tmp_path_factory: pytest.TempPathFactory, family: int, feeds: list[list[tuple[int, int]]]
) -> None:
    """Of the entries that hold an address the one that starts last, then the shortest; and in it the network around."""
    base, make = BASE[family], ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    entries = {
        f"feed{number}": sorted({(base + first, base + first + more) for first, more in rows})
        for number, rows in enumerate(feeds)
    }
    data = tmp_path_factory.mktemp("data")
    make_snapshot(
        data, {feed: [f"{make(first)}-{make(last)}" for first, last in rows] for feed, rows in entries.items()}
    )
    with Snapshot.open_current(data) as snapshot:
        for value in range(base, base + 104, 3):
            expected = []
            for feed, rows in entries.items():
                holding = [(first, -last) for first, last in rows if first <= value <= last]
                if holding:
                    first, negative = max(holding)
                    start, length = network_around(family, first, -negative, value)
                    expected.append((feed, f"{make(start)}/{length}"))
            found = [(sighting.record.id, sighting.network) for sighting in snapshot.sightings(str(make(value)))]
            assert found == expected


@given(st.integers(0, 2**31), st.sampled_from([0, 1, PAYS, PAYS + 1, 4 * PAYS]), st.sampled_from([2**32, 2**25]))
@settings(max_examples=60, deadline=None)
def test_a_start_is_found_with_and_without_a_root(seed: int, count: int, limit: int) -> None:
    """Short and long columns, spread or crowded: at both ends of the space, at borders of a /8, beside each start."""
    chance = np.random.default_rng(seed)
    column = np.sort(chance.integers(0, limit, count, dtype=np.uint32))
    find, plain = finder4(memoryview(column.tobytes()).cast("I")), column.tolist()
    edges = [0, 2**24 - 1, 2**24, 2**31, 2**32 - 1]
    edges += [min(max(value + step, 0), 2**32 - 1) for value in plain[:: max(1, count // 50)] for step in (-1, 0, 1)]
    assert [find(value) for value in edges] == [bisect_right(plain, value) - 1 for value in edges]
