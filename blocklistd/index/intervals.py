"""Half-open intervals of integers, merged, subtracted and united: the arithmetic under flatten.

An ``Intervals`` is a pair of int64 arrays (start, end) with start < end. For IPv4 the integers are addresses, ends
are exclusive and 2**32 exists. IPv6 does not fit an int64, but only the order matters: ``Scale`` numbers all the
borders that occur, so that both families share one arithmetic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from blocklistd import kernel
from blocklistd.networks import distinct, last_of_each

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.networks import Networks


class Intervals(NamedTuple):
    """Half-open intervals; *merged* ones are ascending and neither overlap nor touch."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]


def no_intervals() -> Intervals:
    """The empty set."""
    return Intervals(np.empty(0, np.int64), np.empty(0, np.int64))


def merge(intervals: Intervals) -> Intervals:
    """Unite overlapping and touching intervals.

    ████          █████
       ████   →   ██████████  ███
           ███
    """
    start, end = intervals
    if len(start) == 0:
        return intervals
    if np.any(start[1:] < start[:-1]):
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    opens = np.empty(len(start), np.bool_)
    opens[0] = True
    np.greater(start[1:], reach[:-1], out=opens[1:])
    firsts = np.flatnonzero(opens)
    lasts = np.append(firsts[1:], len(start)) - 1
    return Intervals(start[firsts], reach[lasts])


def unite(several: Sequence[Intervals]) -> Intervals:
    """The merged union of several sets."""
    if not several:
        return no_intervals()
    return merge(Intervals(np.concatenate([s.start for s in several]), np.concatenate([s.end for s in several])))


def subtract(kept: Intervals, taken: Intervals) -> Intervals:
    """What is in ``kept`` and not in ``taken``; both merged, so is the result.

    ██████████████
       ███  ████
    ███   ██    ██
    """
    if len(kept.start) == 0 or len(taken.start) == 0:
        return kept
    positions = np.concatenate([kept.start, kept.end, taken.start, taken.end])
    steps = np.concatenate(
        [np.full(len(column), step, np.int8) for column, step in zip((*kept, *taken), (1, -1, -2, 2), strict=True)],
    )
    order = np.argsort(positions, kind="stable")
    positions = positions[order]
    depth = np.cumsum(steps[order], dtype=np.int64)
    last = last_of_each(positions)
    positions, inside = positions[last], depth[last] == 1
    start = positions[inside]
    end = np.append(positions[1:], positions[-1:])[inside]
    return merge(Intervals(start, end))


def total(intervals: Intervals) -> int:
    """How many integers merged intervals cover."""
    return int((intervals.end - intervals.start).sum())


def intervals4(networks: Networks) -> Intervals:
    """IPv4 entries as merged half-open intervals of addresses."""
    return each_intervals4([networks])[0]


def each_intervals4(several: Sequence[Networks]) -> list[Intervals]:
    """The same for each of several; with the kernel they share one piece of memory, which costs few page faults."""
    active = kernel.active
    if active is None:
        return [merge(Intervals(one.first.astype(np.int64), one.last.astype(np.int64) + 1)) for one in several]
    start, end = np.empty((2, sum(map(len, several))), np.int64)
    merged = []
    for one in several:
        count = active.merge(one.first, one.last, start[: len(one)], end[: len(one)])
        merged.append(Intervals(start[:count], end[:count]))
        start, end = start[count:], end[count:]
    return merged


class Scale:
    """Numbers the borders of IPv6 ranges, so that intervals of ranks stand for intervals of addresses.

    Built from all first and last addresses (uint64 arrays of shape (n, 2)) that will ever be asked about.
    """

    def __init__(self, firsts: Sequence[NDArray[np.uint64]], lasts: Sequence[NDArray[np.uint64]]) -> None:
        starts = [array for array in firsts if len(array)]
        ends = [_successor(array) for array in lasts if len(array)]
        borders = np.concatenate([*starts, *[end[~wraps] for end, wraps in ends], np.zeros((1, 2), np.uint64)])
        self.borders = distinct(_sortable(borders))

    def __len__(self) -> int:
        return len(self.borders)

    def intervals(self, first: NDArray[np.uint64], last: NDArray[np.uint64]) -> Intervals:
        """Inclusive ranges as merged intervals of ranks."""
        return merge(self.ranks(first, last))

    def ranks(self, first: NDArray[np.uint64], last: NDArray[np.uint64]) -> Intervals:
        """Inclusive ranges as intervals of ranks, one for one; the end of all space has the rank ``len(self)``."""
        start = np.searchsorted(self.borders, _sortable(first)).astype(np.int64)
        following, wraps = _successor(last)
        end = np.searchsorted(self.borders, _sortable(following)).astype(np.int64)
        end[wraps] = len(self)
        return Intervals(start, end)

    def addresses(self, ranks: NDArray[np.integer[Any]]) -> NDArray[np.uint64]:
        """The addresses (n, 2) of ranks."""
        found: NDArray[np.uint64] = self.borders[ranks].view(">u8").reshape(-1, 2).astype(np.uint64)
        return found


def _sortable(addresses: NDArray[np.uint64]) -> NDArray[np.bytes_]:
    """128-bit numbers as 16 big-endian bytes, whose order is that of the numbers."""
    return np.ascontiguousarray(addresses.astype(">u8")).view("S16").ravel()


def _successor(addresses: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Address + 1, and where that is 2**128 (the number itself wraps to 0 there)."""
    low = addresses[:, 1] + np.uint64(1)
    high = addresses[:, 0] + (low == 0)
    return np.stack([high, low], axis=1), (low == 0) & (high == 0)
