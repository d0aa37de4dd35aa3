"""All first and last seen of one feed in one snapshot, as arrays: what the next compile and the history start from.

Where a feed has no section ``seen``, or a damaged one, what it names is read out of the sections that answer: those
were verified when the snapshot was opened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd.errors import SnapshotCorrupt
from blocklistd.index.names import SortedDigests, SortedTexts
from blocklistd.index.seen import ON_LIST, Sighted
from blocklistd.index.seen_sections import decode_names, decode_stretches
from blocklistd.index.stretches import Stretches, all_since
from blocklistd.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from blocklistd.index.record import FeedRecord
    from blocklistd.index.snapshot import Snapshot


class FeedTimes:
    """One feed of an open snapshot.

    section: its ``seen``, None where there is none or it is damaged. record: as in the snapshot, but without a ``seen``
    that is damaged and without what would let it be used again.
    """

    def __init__(self, snapshot: Snapshot, record: FeedRecord) -> None:
        self.snapshot = snapshot
        self.record = record
        try:
            self.section = snapshot.seen_section(record.id)
        except SnapshotCorrupt:
            self.section = None
            self.record = replace(record, seen=None, covers="")

    def stretches(self, family: int) -> Stretches:
        """Its address space of one family, with times."""
        return each_stretches([self], family)[0]

    def names(self) -> dict[bytes, Sighted]:
        """Its domains or digests of mail addresses, with times."""
        if self.section is not None:
            return decode_names(self.section)
        names = named_in(self.snapshot, self.record)
        return dict.fromkeys(names, Sighted(int(self.record.first_seen), ON_LIST, True))


def named_in(snapshot: Snapshot, record: FeedRecord) -> list[bytes]:
    """The domains, or digests of mail addresses, of which a snapshot names a feed."""
    section = snapshot.section("mails" if record.kind == "email" else "domains")
    names = SortedDigests(section) if record.kind == "email" else SortedTexts(section)
    offsets, members, sets = section.arrays["offsets"], section.arrays["members"], section.arrays["sets"]
    number = [one.id for one in snapshot.feeds].index(record.id)
    holding = [number in members[offsets[one] : offsets[one + 1]] for one in range(len(offsets) - 1)]
    return [names[index] for index, one in enumerate(sets) if holding[one]]


def each_stretches(several: Sequence[FeedTimes], family: int) -> list[Stretches]:
    """The stretches of several feeds of one snapshot; what its segments tell is read for all of them at once."""
    plain = [one for one in several if one.section is None]
    covered = covered_in(plain[0].snapshot, [one.record.id for one in plain], family) if plain else {}
    return [
        decode_stretches(one.section, family)
        if one.section is not None
        else all_since(covered[one.record.id], one.record.first_seen)
        for one in several
    ]


def covered_in(snapshot: Snapshot, feeds: Collection[str], family: int) -> dict[str, Networks]:
    """The address space in which a snapshot names each of these feeds, as disjoint ranges that do not touch.

    The segments are looked through once, however many feeds are asked for.
    """
    arrays = snapshot.section(f"v{family}").arrays
    numbers = [number for number, record in enumerate(snapshot.feeds) if record.id in feeds]
    asked = np.zeros(len(snapshot.feeds), np.bool_)
    asked[numbers] = True
    offsets, members = np.frombuffer(arrays["offsets"], np.uint32), np.frombuffer(arrays["members"], np.uint16)
    places = np.flatnonzero(asked[members])
    count = np.bincount(np.searchsorted(offsets, places, side="right") - 1, minlength=len(offsets) - 1)
    sets = np.frombuffer(arrays["sets"], np.uint16 if arrays["sets"].format == "H" else np.uint32)
    segment = np.flatnonzero((count > 0)[sets])
    each = count[sets[segment]]  # so many of the feeds are named by the segment
    within = np.arange(each.sum()) - np.repeat(np.cumsum(each) - each, each)
    member = members[places[np.repeat((np.cumsum(count) - count)[sets[segment]], each) + within]]
    order = np.argsort(member, kind="stable")  # by feed, the segments of each ascending
    member, segment = member[order], np.repeat(segment, each)[order]
    opens = np.ones(len(member), np.bool_)
    opens[1:] = (segment[1:] != segment[:-1] + 1) | (member[1:] != member[:-1])
    closes = np.ones(len(member), np.bool_)
    closes[:-1] = opens[1:]
    start, end = _bounds(arrays, family, segment[opens], segment[closes] + 1)
    member = member[opens]
    left, right = np.searchsorted(member, numbers, side="left"), np.searchsorted(member, numbers, side="right")
    return {
        snapshot.feeds[number].id: Networks(family, start[one:other], end[one:other])
        for number, one, other in zip(numbers, left.tolist(), right.tolist(), strict=True)
    }


def _bounds(
    arrays: Mapping[str, memoryview], family: int, begin: NDArray[np.int64], after: NDArray[np.int64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The first and last addresses of runs of segments: one ends where the segment after it begins."""
    if family == 4:
        starts = np.frombuffer(arrays["starts"], np.uint32)
        last = np.take(starts, after, mode="clip") - np.uint32(1)
        last[after == len(starts)] = 2**32 - 1
        return starts[begin], last
    high, low = (_with_end(np.frombuffer(arrays[half], np.uint64)) for half in ("high", "low"))
    first = np.stack([high[begin], low[begin]], axis=1)
    return first, np.stack([high[after] - (low[after] == 0), low[after] - np.uint64(1)], axis=1)


def _with_end(column: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The end of all space is 2**128, of which these 128 bits are 0: one less is all ones."""
    return np.append(column, np.uint64(0))
