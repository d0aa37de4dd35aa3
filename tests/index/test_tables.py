"""ASN and country tables: the most exact range shows, and is found again in the section."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklistd import Snapshot
from blocklistd.addresses import format_address, networks_of
from blocklistd.index.table_sections import paint
from blocklistd.index.tables import NOTHING
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path

ranges = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 12)).map(lambda t: (t[0], t[0] + t[1])),
    max_size=8,
)


@given(ranges)
def test_at_every_value_the_narrowest_range_shows(rows: list[tuple[int, int]]) -> None:
    """As a scan for the narrowest range that holds the value, the later of equals winning."""
    starts = np.array([start for start, _ in rows], np.int64)
    ends = np.array([end for _, end in rows], np.int64)
    painted = paint(starts, ends, np.arange(1, len(rows) + 1, dtype=np.uint32), 50)
    for value in range(50):
        holding = [(end - start, -number) for number, (start, end) in enumerate(rows, 1) if start <= value < end]
        expected = -min(holding)[1] if holding else 0
        index = int(np.searchsorted(painted.starts, value, side="right")) - 1
        assert int(painted.records[index]) == expected


def test_neighbours_that_say_the_same_are_one_segment() -> None:
    """Two adjacent ranges of one record need one segment."""
    painted = paint(np.array([0, 5]), np.array([5, 9]), np.array([1, 1], np.uint32), 20)
    assert painted.starts.tolist() == [0, 9]
    assert painted.records.tolist() == [1, 0]


BASES = {4: 0xC0000200, 6: 0x20010DB8 << 96 | 0xFFFFFFFFFFFFFFF8}
"""Where the small networks of a test lie; the IPv6 ones straddle a border between two high halves."""


@given(
    st.sampled_from([4, 6]),
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 4)), min_size=1, max_size=6, unique=True),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_section_answers_as_a_scan_of_the_table(
    tmp_path_factory: pytest.TempPathFactory, family: int, rows: list[tuple[int, int]]
) -> None:
    """Number, name and unbroken range at every address in and around the table are those of the narrowest network."""
    base, bits = BASES[family], 32 if family == 4 else 128
    spans = {(base + start >> size << size, size) for start, size in rows}
    numbers = {span: 64500 + number for number, span in enumerate(sorted(spans))}
    texts = {networks_of(family, first, first + (1 << size) - 1)[0]: n for (first, size), n in numbers.items()}
    data = tmp_path_factory.mktemp("data")
    make_snapshot(data, {}, systems={text: (number, f"Network {number}") for text, number in texts.items()})

    def scan(value: int) -> int:
        holding = [(size, numbers[first, size]) for first, size in spans if first <= value < first + (1 << size)]
        return min(holding)[1] if holding else 0

    with Snapshot.open_current(data) as snapshot:
        table = snapshot.tables["asn"]
        for value in range(base - 20, base + 40):
            record = table.record(family, value)
            assert (table.row(record) if record != NOTHING else (0, "")) == (
                (scan(value), f"Network {scan(value)}") if scan(value) else (0, "")
            )
            stretch = table.stretch(family, value)
            assert stretch.record == record
            assert stretch.first <= value <= stretch.last
            near = range(max(stretch.first, base - 25), min(stretch.last, base + 45))
            assert {scan(other) for other in near} <= {scan(value)}
            assert stretch.first == 0 or scan(stretch.first - 1) != scan(value)
            assert stretch.last == 2**bits - 1 or scan(stretch.last + 1) != scan(value)
        system = snapshot.autonomous_system(format_address(family, base))
        assert system == ((scan(base), f"Network {scan(base)}") if scan(base) else None)


def test_the_ends_of_address_space_are_held(tmp_path: Path) -> None:
    """The first and last addresses of both families have their record."""
    whole = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"]
    make_snapshot(tmp_path, {}, countries=dict(zip(whole, ("DE", "FR", "AT", "CH"), strict=True)))
    with Snapshot.open_current(tmp_path) as snapshot:
        table = snapshot.tables["country"]
        found = [table.row(table.record(4, value))[1] for value in (0, 2**31 - 1, 2**31, 2**32 - 1)]
        assert found == ["DE", "DE", "FR", "FR"]
        found = [table.row(table.record(6, value))[1] for value in (0, 2**127 - 1, 2**127, 2**128 - 1)]
        assert found == ["AT", "AT", "CH", "CH"]
        assert table.stretch(6, 2**128 - 1)[1:] == (2**127, 2**128 - 1)
