"""The entries of one address family as columns of numbers: what parsing gives and the index keeps.

Ranges are inclusive on both ends, so that 255.255.255.255 and all-ones need no larger number. IPv4 values are
uint32; IPv6 values are two uint64, the high half first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Networks:
    """The entries of one family as the list wrote them: unmerged, sorted by first and then widest first, unique.

    first, last: uint32 of shape (n,) for IPv4, uint64 of shape (n, 2) for IPv6, high half first.
    columns: per-entry values of the same length: ``first_seen``, ``last_seen`` (uint32 unix time), ``count``,
    ``asn`` (uint32), ``provider``, ``name``, ``country`` (uint32 indices into the feed's texts, 0 is none).
    A column exists only where the feed gave it.
    """

    family: int
    first: NDArray[Any]
    last: NDArray[Any]
    columns: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.first)


def no_networks(family: int) -> Networks:
    """An empty set of entries."""
    if family == 4:
        return Networks(4, np.empty(0, np.uint32), np.empty(0, np.uint32))
    return Networks(6, np.empty((0, 2), np.uint64), np.empty((0, 2), np.uint64))


def last_of_each(ascending: NDArray[Any]) -> NDArray[np.bool_]:
    """Marks the last of every run of equal values."""
    last = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=last[:-1])
    return last


def distinct(values: NDArray[Any]) -> NDArray[Any]:
    """The distinct values, ascending. numpy's own ``unique`` hashes first, which takes ten times as long here."""
    ordered = np.sort(values)
    return ordered[last_of_each(ordered)]
