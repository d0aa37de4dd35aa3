"""Address → feed set, over the mapped segments of one family.

A radix root over the top bits tells where to look, a binary search does the rest. Both families answer the number of
the segment's set and give the one ``Listing`` of that set; a listing is made when it is first asked for and then
shared. Reading is safe from any number of threads.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any, Final

from blocklistd.index.listing import NOT_LISTED, Listing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.index.layout import Section

ROOT4_SHIFT: Final = 16
ROOT6_SHIFT: Final = 44
ROOT_SLOTS: Final = 2**16
GLOBAL6: Final = 0x2
"""The top four bits of almost every IPv6 address in use (2000::/4); the root divides that space alone."""

_LOW64: Final = 2**64 - 1


class FeedSets:
    """The distinct feed sets of a section as shared listings."""

    __slots__ = ("_feed_ids", "_members", "_offsets", "listings")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self._offsets, self._members = section.arrays["offsets"], section.arrays["members"]
        self._feed_ids = feed_ids
        self.listings: list[Listing | None] = [None] * (len(self._offsets) - 1)
        if self.listings:
            self.listings[0] = NOT_LISTED

    def listing(self, number: int) -> Listing:
        """The listing of a set; the same object every time."""
        listing = self.listings[number]
        if listing is None:
            members = self._members[self._offsets[number] : self._offsets[number + 1]]
            listing = Listing(tuple([self._feed_ids[member] for member in members]))
            self.listings[number] = listing
        return listing


class Segments4:
    """IPv4 segments."""

    __slots__ = ("_arrays", "_root", "_sets", "_starts", "sets")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self.sets = FeedSets(section, feed_ids)
        arrays = section.arrays
        self._root, self._starts, self._sets = arrays["root"], arrays["starts"], arrays["sets"]
        self._arrays: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return len(self._starts)

    def listing(self, value: int) -> Listing:
        """The listing of an address."""
        root, slot = self._root, value >> ROOT4_SHIFT
        number = self._sets[bisect_right(self._starts, value, root[slot], root[slot + 1]) - 1]
        return self.sets.listings[number] or self.sets.listing(number)

    def listings(self, values: NDArray[Any]) -> list[Listing]:
        """The listings of many addresses (uint32)."""
        import numpy as np

        if self._arrays is None:
            self._arrays = (
                np.frombuffer(self._starts, np.uint32),
                np.frombuffer(self._sets, self._sets.format),
            )
        starts, sets = self._arrays
        numbers = sets[np.searchsorted(starts, values, side="right") - 1].tolist()
        listings, make = self.sets.listings, self.sets.listing
        return [listings[number] or make(number) for number in numbers]


class Segments6:
    """IPv6 segments; a start is split into two 64-bit halves."""

    __slots__ = ("_arrays", "_high", "_low", "_root", "_sets", "sets")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self.sets = FeedSets(section, feed_ids)
        arrays = section.arrays
        self._root, self._sets = arrays["root"], arrays["sets"]
        self._high, self._low = arrays["high"], arrays["low"]
        self._arrays: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return len(self._high)

    def listing(self, value: int) -> Listing:
        """The listing of an address."""
        high, root = value >> 64, self._root
        if high >> 60 == GLOBAL6:
            slot = high >> ROOT6_SHIFT & 0xFFFF
            start, end = root[slot], root[slot + 1]
        elif high >> 60 < GLOBAL6:
            start, end = 0, root[0]
        else:
            start, end = root[ROOT_SLOTS], len(self._high)
        index = bisect_right(self._high, high, start, end)
        if index > start and self._high[index - 1] == high:
            index = self._within(high, value & _LOW64, start, index)
        number = self._sets[index - 1]
        return self.sets.listings[number] or self.sets.listing(number)

    def _within(self, high: int, low: int, start: int, end: int) -> int:
        """Behind the last segment at or before an address, among those that share its high half."""
        return bisect_right(self._low, low, bisect_left(self._high, high, start, end), end)

    def listings(self, high: NDArray[Any], low: NDArray[Any]) -> list[Listing]:
        """The listings of many addresses, given as their halves (uint64)."""
        import numpy as np

        if self._arrays is None:
            self._arrays = np.frombuffer(self._high, np.uint64), np.frombuffer(self._sets, self._sets.format)
        starts, sets = self._arrays
        after = np.searchsorted(starts, high, side="right")
        shared = np.flatnonzero(starts[after - 1] == high)
        for index in shared.tolist():
            after[index] = self._within(int(high[index]), int(low[index]), 0, int(after[index]))
        listings, make = self.sets.listings, self.sets.listing
        return [listings[number] or make(number) for number in sets[after - 1].tolist()]
