"""Flattening and its arithmetic, against a linear scan and by law."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.index.flatten import Flattened, flatten
from blocklistd.index.intervals import Intervals, Scale, merge, subtract, total, unite
from tests.index.oracle import Oracle

if TYPE_CHECKING:
    from collections.abc import Sequence

END4 = 2**32
END6 = 2**128

# A small space makes ranges meet, nest and touch; the large one has the borders that overflow.
small = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda t: (t[0], t[0] + t[1]))
edge = st.sampled_from([0, 1, 2**31 - 1, 2**31, END4 - 2, END4 - 1])
large = st.tuples(edge, edge).map(lambda t: (min(t), max(t)))
feed = st.lists(small | large, max_size=8)
feeds = st.lists(feed, max_size=6)


def intervals(ranges: Sequence[tuple[int, int]]) -> Intervals:
    """Inclusive ranges as merged half-open intervals."""
    first = np.array([first for first, _ in ranges], np.int64)
    last = np.array([last for _, last in ranges], np.int64)
    return merge(Intervals(first, last + 1))


def feeds_at(flat: Flattened, value: int) -> list[int]:
    """Read the answer off the segments, without the index."""
    number = int(flat.sets[np.searchsorted(flat.starts, value, side="right") - 1])
    return [int(member) for member in flat.members[flat.offsets[number] : flat.offsets[number + 1]]]


def same(one: Flattened, other: Flattened) -> bool:
    """Whether two results are equal, array by array."""
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in Flattened._fields)


@given(feeds)
def test_every_border_is_answered_as_by_a_linear_scan(ranges: list[list[tuple[int, int]]]) -> None:
    """At and beside every border of every range, flatten names exactly the feeds that a scan finds."""
    oracle = Oracle({str(number): feed for number, feed in enumerate(ranges)})
    flat = flatten([intervals(feed) for feed in ranges], END4)
    for value in oracle.edges(END4):
        assert tuple(map(str, feeds_at(flat, value))) == oracle.feeds_of(value)


@given(feeds)
def test_segments_are_disjoint_minimal_and_start_at_zero(ranges: list[list[tuple[int, int]]]) -> None:
    """Starts ascend from 0, neighbours differ, sets are distinct and the empty one is number 0."""
    flat = flatten([intervals(feed) for feed in ranges], END4)
    assert flat.starts[0] == 0
    assert np.all(np.diff(flat.starts) > 0)
    assert np.all(flat.sets[1:] != flat.sets[:-1])
    members = [tuple(flat.members[a:b]) for a, b in zip(flat.offsets, flat.offsets[1:], strict=False)]
    assert members[0] == ()
    assert len(set(members)) == len(members)
    assert set(flat.sets.tolist()) | {0} == set(range(len(members)))


@given(feed, st.randoms(use_true_random=False))
def test_flatten_does_not_depend_on_the_order_or_repetition_of_ranges(
    ranges: list[tuple[int, int]],
    random: object,
) -> None:
    """Shuffled and doubled ranges of a feed give the same segments."""
    shuffled = [*ranges, *ranges]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = flatten([intervals(ranges)], END4), flatten([intervals(shuffled)], END4)
    assert same(one, other)


@given(feeds)
def test_flatten_is_idempotent(ranges: list[list[tuple[int, int]]]) -> None:
    """Reading each feed's space back from the segments and flattening it again changes nothing."""
    flat = flatten([intervals(feed) for feed in ranges], END4)
    ends = np.append(flat.starts[1:], END4)
    again = []
    for number in range(len(ranges)):
        held = np.array([number in feeds_at(flat, int(start)) for start in flat.starts], np.bool_)
        again.append(merge(Intervals(flat.starts[held].astype(np.int64), ends[held])))
    assert same(flat, flatten(again, END4))


def test_the_same_tokens_for_two_feeds_are_noticed() -> None:
    """Should two sets ever share a token sum, flatten fails instead of mixing them up."""
    both = [intervals([(0, 9)]), intervals([(5, 14)])]
    with pytest.raises(ArithmeticError):
        flatten(both, END4, random_bytes=lambda count: b"\1" * count)


def test_the_whole_space_is_one_segment() -> None:
    """0.0.0.0/0 ends at 2**32, which is no start."""
    flat = flatten([intervals([(0, END4 - 1)])], END4)
    assert flat.starts.tolist() == [0]
    assert feeds_at(flat, END4 - 1) == [0]


@given(feed)
def test_merging_covers_the_same_values_with_gaps_between(ranges: list[tuple[int, int]]) -> None:
    """Merged intervals ascend with gaps and hold exactly the values of the ranges."""
    merged = intervals(ranges)
    assert np.all(merged.start[1:] > merged.end[:-1])
    oracle = Oracle({"": ranges})
    for value in oracle.edges(END4):
        inside = bool(np.any((merged.start <= value) & (value < merged.end)))
        assert inside == bool(oracle.feeds_of(value))


@given(feed, feed)
def test_subtracting_leaves_what_is_in_the_first_and_not_in_the_second(
    kept: list[tuple[int, int]],
    taken: list[tuple[int, int]],
) -> None:
    """Every value is in the difference exactly if it is in the one and not in the other."""
    left = subtract(intervals(kept), intervals(taken))
    oracle = Oracle({"kept": kept, "taken": taken})
    for value in oracle.edges(END4):
        inside = bool(np.any((left.start <= value) & (value < left.end)))
        assert inside == (oracle.feeds_of(value) == ("kept",))
    assert total(left) == total(unite([intervals(kept), intervals(taken)])) - total(intervals(taken))


wide = st.integers(0, END6 - 1) | st.sampled_from([0, 2**64 - 1, 2**64, END6 - 2, END6 - 1])


@given(st.lists(st.tuples(wide, wide).map(lambda t: (min(t), max(t))), min_size=1, max_size=8))
def test_ranks_order_128_bit_borders_as_their_numbers(ranges: list[tuple[int, int]]) -> None:
    """An IPv6 address is inside the ranked intervals exactly if it is inside the ranges."""

    def halves(values: list[int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint64]]:
        return np.array([(value >> 64, value & 2**64 - 1) for value in values], np.uint64)

    scale = Scale([halves([first for first, _ in ranges])], [halves([last for _, last in ranges])])
    merged = scale.intervals(halves([first for first, _ in ranges]), halves([last for _, last in ranges]))
    flat = flatten([merged], len(scale))
    starts = [int(high) << 64 | int(low) for high, low in scale.addresses(flat.starts)]
    oracle = Oracle({"0": ranges})
    for value in oracle.edges(END6):
        index = sum(start <= value for start in starts) - 1
        number = int(flat.sets[index])
        assert bool(flat.offsets[number + 1] - flat.offsets[number]) == bool(oracle.feeds_of(value))
