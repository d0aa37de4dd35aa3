"""A slow, obviously right index: lists of inclusive ranges and a linear scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Oracle:
    """Ranges of every feed of one family, as they came."""

    def __init__(self, feeds: Mapping[str, Sequence[tuple[int, int]]]) -> None:
        self.feeds = feeds

    def feeds_of(self, value: int) -> tuple[str, ...]:
        """Which feeds hold a value, in the order of the feeds."""
        return tuple(
            feed for feed, ranges in self.feeds.items() if any(first <= value <= last for first, last in ranges)
        )

    def edges(self, end: int) -> list[int]:
        """Every value at which an answer may change, and its neighbours, and both ends of space."""
        borders = {0, end - 1}
        for ranges in self.feeds.values():
            for first, last in ranges:
                borders |= {first - 1, first, first + 1, last - 1, last, last + 1}
        return sorted(value for value in borders if 0 <= value < end)
