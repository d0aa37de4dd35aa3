"""Reading the sections ``asn`` and ``country``: which record holds at an address, and what the record says.

Works on integers and answers with record numbers, so that a caller may keep what it makes of a record. How the
sections are made stands in ``table_sections``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from blocklistd.index.layout import Section

NOTHING: Final = 0
"""The record of addresses of which no table says anything."""


class Stretch(NamedTuple):
    """A record and the range over which it holds without a break, both ends inclusive."""

    record: int
    first: int
    last: int


class Table:
    """One table section: disjoint segments, each with the number of a record."""

    __slots__ = ("_high", "_low", "_names", "_numbers", "_offsets", "_records4", "_records6", "_starts")

    def __init__(self, section: Section) -> None:
        """Raises KeyError where the section is no table."""
        arrays = section.arrays
        self._starts, self._records4 = arrays["v4_starts"], arrays["v4_records"]
        self._high, self._low, self._records6 = arrays["v6_high"], arrays["v6_low"], arrays["v6_records"]
        self._numbers, self._names, self._offsets = arrays["numbers"], arrays["names"], arrays["name_offsets"]

    def record(self, family: int, value: int) -> int:
        """The number of the record at an address, ``NOTHING`` where there is none."""
        if family == 4:
            return self._records4[bisect_right(self._starts, value) - 1]
        return self._records6[self._after6(value) - 1]

    def row(self, record: int) -> tuple[int, str]:
        """What a record says: (ASN, name), or (0, country)."""
        start, end = self._offsets[record], self._offsets[record + 1]
        return self._numbers[record], bytes(self._names[start:end]).decode()

    def stretch(self, family: int, value: int) -> Stretch:
        """The record at an address and the segment in which it holds."""
        if family == 4:
            after, starts = bisect_right(self._starts, value), self._starts
            last = starts[after] - 1 if after < len(starts) else 2**32 - 1
            return Stretch(self._records4[after - 1], starts[after - 1], last)
        after = self._after6(value)
        last = self._start6(after) - 1 if after < len(self._high) else 2**128 - 1
        return Stretch(self._records6[after - 1], self._start6(after - 1), last)

    def _start6(self, index: int) -> int:
        return self._high[index] << 64 | self._low[index]

    def _after6(self, value: int) -> int:
        """How many IPv6 segments start at or before an address."""
        high = value >> 64
        after = bisect_right(self._high, high)
        before = bisect_left(self._high, high, 0, after)
        return before if before == after else bisect_right(self._low, value & 2**64 - 1, before, after)
