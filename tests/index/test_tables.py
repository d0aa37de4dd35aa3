"""ASN and country tables: the most exact range shows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.index.tables import paint

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
