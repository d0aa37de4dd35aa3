"""The kernel flattens, merges, measures and patches as the pure code does, array by array."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd import kernel
from blocklistd.index.flatten import Flattened, covered_by_set, flatten
from blocklistd.index.intervals import Intervals, intervals4, merge
from blocklistd.index.patch import patch
from blocklistd.networks import Networks
from tests.index.test_flatten import END4, feed, feeds, intervals
from tests.kernel.twins import using

if TYPE_CHECKING:
    from collections.abc import Callable

# Borders close together fill a window of the kernel; those far apart leave windows out.
crowded = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3)).map(lambda t: (t[0], t[0] + t[1])), max_size=60)
spaces = st.sampled_from([END4, END4 - 1, 70_000, 4_100])


def both(call: Callable[[], Any]) -> tuple[Any, Any]:
    """What the pure code gives, and the kernel."""
    with using(kernel.PURE):
        pure = call()
    with using(kernel.COMPILED):
        return pure, call()


def assert_same(pure: Flattened, compiled: Flattened) -> None:
    for name in Flattened._fields:
        one, other = getattr(pure, name), getattr(compiled, name)
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)


@given(feeds | st.lists(crowded, max_size=40))
def test_segments_are_the_same(ranges: list[list[tuple[int, int]]]) -> None:
    """Starts, sets, offsets and members agree."""
    assert_same(*both(lambda: flatten([intervals(one) for one in ranges], END4)))


@given(st.lists(crowded, max_size=5), st.integers(3100, 200_000))
def test_segments_are_the_same_in_a_smaller_space(ranges: list[list[tuple[int, int]]], end: int) -> None:
    """A space of any size is cut into windows without a rest."""
    assert_same(*both(lambda: flatten([intervals(one) for one in ranges], end)))


def test_many_segments_are_the_same() -> None:
    """Thousands of borders in one window, thousands of sets, more feeds than bits in a word."""
    chance = np.random.default_rng(8)
    many = []
    for number in range(70):
        start = chance.integers(0, 2**20 if number % 2 else END4 - 300, 2_000)
        many.append(merge(Intervals(start, start + chance.integers(1, 300, 2_000))))
    pure, compiled = both(lambda: flatten(many, END4))
    assert len(pure.offsets) > 2**16
    assert_same(pure, compiled)
    assert_same(*both(lambda: patch(pure, {3: many[4], 40: many[0]}, len(many), END4)))


@given(feed)
def test_ranges_are_merged_alike(ranges: list[tuple[int, int]]) -> None:
    """Nested, touching and equal ranges become the same intervals."""
    ordered = sorted(ranges, key=lambda one: (one[0], -one[1]))
    first, last = (np.array([one[side] for one in ordered], np.uint32) for side in (0, 1))
    pure, compiled = both(lambda: intervals4(Networks(4, first, last)))
    assert pure.start.tolist() == compiled.start.tolist()
    assert pure.end.tolist() == compiled.end.tolist()


@given(feeds, st.dictionaries(st.integers(0, 5), feed, min_size=1))
def test_patches_are_the_same(ranges: list[list[tuple[int, int]]], changes: dict[int, list[tuple[int, int]]]) -> None:
    """Patched segments agree, and so does what each set covers."""
    ranges += [[] for _ in range(6 - len(ranges))]
    flat = flatten([intervals(one) for one in ranges], END4)
    merged = {number: intervals(one) for number, one in changes.items()}
    assert_same(*both(lambda: patch(flat, merged, len(ranges), END4)))
    pure, compiled = both(lambda: covered_by_set(flat, END4))
    assert pure.tolist() == compiled.tolist()


def column(*values: int, kind: type = np.int64) -> np.ndarray[Any, Any]:
    return np.array(values, kind)


def call(starts: list[Any], ends: list[Any], *, end: int = END4, room: int = 9, tokens: int | None = None) -> Any:
    """The kernel's flatten with arrays of its own."""
    assert kernel.active is not None
    drawn = np.frombuffer(os.urandom(16 * (len(starts) if tokens is None else tokens)), np.uint64)
    return kernel.active.flatten(starts, ends, drawn, end, np.empty(room, np.uint32), np.empty(room, np.uint32))


@pytest.mark.parametrize(
    ("starts", "ends", "options"),
    [
        ([column(5, 2)], [column(6, 3)], {}),  # not ascending
        ([column(5, 6)], [column(6, 7)], {}),  # touching: a border twice
        ([column(-1)], [column(6)], {}),
        ([column(1, 2)], [column(6)], {}),
        ([column(1)], [], {}),
        ([column(1)], [column(6)], {"end": 0}),
        ([column(1)], [column(6)], {"end": 2**32 + 1}),
        ([column(1)], [column(6)], {"room": 1}),
        ([column(1)], [column(6)], {"tokens": 2}),
        ([column(1, kind=np.int32)], [column(6, kind=np.int32)], {}),
        ([column(1).reshape(1, 1)], [column(6).reshape(1, 1)], {}),
    ],
)
def test_columns_that_are_no_merged_intervals_are_refused(
    starts: list[Any], ends: list[Any], options: dict[str, int]
) -> None:
    """Nothing is read or written outside the arrays, whatever they hold."""
    with pytest.raises(ValueError, match=r"interval|feed|buffer|room"):
        call(starts, ends, **options)


def u32(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.uint32)


def test_layers_that_are_no_segments_are_refused() -> None:
    """Sets without a number, starts that do not ascend, too little room."""
    assert kernel.active is not None
    room = u32(0, 0, 0, 0)
    good = [u32(0, 5), u32(0, 1), u32(0, 1), u32(0), u32(0), 0, room, room.copy()]
    assert kernel.active.overlay(*good)[0] == 2
    for place, wrong in ((0, u32(5, 0)), (0, u32(1, 5)), (1, u32(0, 2)), (2, u32(0, 9)), (3, u32(1)), (6, u32())):
        bad = [wrong if number == place else one for number, one in enumerate(good)]
        with pytest.raises(ValueError, match="layers"):
            kernel.active.overlay(*bad)
    with pytest.raises(ValueError, match="segments"):
        kernel.active.measure(u32(0, 5), u32(0, 1), END4, np.zeros(1, np.uint64))
    with pytest.raises(ValueError, match="ascend"):
        kernel.active.merge(u32(5, 1), u32(5, 1), np.empty(2, np.int64), np.empty(2, np.int64))
