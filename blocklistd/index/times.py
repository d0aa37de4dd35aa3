"""All first and last seen of one feed in one snapshot, as arrays: what the next compile and the history start from.

Where a feed has no section ``seen``, or a damaged one, its coverage is read out of the segments that answer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from blocklistd.errors import SnapshotCorrupt
from blocklistd.index.names import DIGEST_SIZE
from blocklistd.index.seen import ON_LIST, Sighted
from blocklistd.index.seen_sections import decode_names, decode_stretches
from blocklistd.index.stretches import Stretches, all_since
from blocklistd.networks import Networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from blocklistd.index.record import FeedRecord
    from blocklistd.index.snapshot import Snapshot


class FeedTimes:
    """One feed of an open snapshot.

    record: as in the snapshot, but without a ``seen`` that is damaged and without what would let it be used again.
    """

    def __init__(self, snapshot: Snapshot, record: FeedRecord) -> None:
        self._snapshot = snapshot
        self.record = record
        try:
            self._section = snapshot.seen_section(record.id)
        except SnapshotCorrupt:
            self._section = None
            self.record = replace(record, seen=None, covers="")

    def stretches(self, family: int) -> Stretches:
        """Its address space of one family, with times."""
        if self._section is not None:
            return decode_stretches(self._section, family)
        covered = covered_in(self._snapshot, self.record.id, family)
        return all_since(covered, self.record.first_seen)

    def names(self) -> dict[bytes, Sighted]:
        """Its domains or digests of mail addresses, with times. Raises SnapshotCorrupt."""
        if self._section is not None:
            return decode_names(self._section)
        arrays = self._snapshot.entries_section(self.record.id).arrays
        names = split_names(bytes(arrays.get("domains", b"")), bytes(arrays.get("mails", b"")))
        return dict.fromkeys(names, Sighted(int(self.record.first_seen), ON_LIST, True))


def split_names(domains: bytes, mails: bytes) -> list[bytes]:
    """The names in an entries section: domains joined with line feeds, digests joined."""
    digests = [mails[start : start + DIGEST_SIZE] for start in range(0, len(mails), DIGEST_SIZE)]
    return digests or [name for name in domains.split(b"\n") if name]


def covered_in(snapshot: Snapshot, feed: str, family: int) -> Networks:
    """The address space in which a snapshot names a feed, as disjoint ranges that do not touch."""
    arrays = snapshot.section(f"v{family}").arrays
    number = [record.id for record in snapshot.feeds].index(feed)
    offsets = np.frombuffer(arrays["offsets"], np.uint32)
    members = np.frombuffer(arrays["members"], np.uint16)
    holding = np.zeros(len(offsets) - 1, np.bool_)
    holding[np.searchsorted(offsets, np.flatnonzero(members == number), side="right") - 1] = True
    sets = arrays["sets"]
    inside = holding[np.frombuffer(sets, np.uint16 if sets.format == "H" else np.uint32)]
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    begin, after = edges[::2], edges[1::2]  # a run of segments ends where the next one begins
    if family == 4:
        starts = np.append(np.frombuffer(arrays["starts"], np.uint32).astype(np.int64), 2**32)
        return Networks(4, starts[begin].astype(np.uint32), (starts[after] - 1).astype(np.uint32))
    high, low = (_with_end(np.frombuffer(arrays[half], np.uint64)) for half in ("high", "low"))
    first = np.stack([high[begin], low[begin]], axis=1)
    last = np.stack([high[after] - (low[after] == 0), low[after] - np.uint64(1)], axis=1)
    return Networks(6, first, last)


def _with_end(column: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The end of all space is 2**128, of which these 128 bits are 0: one less is all ones."""
    return np.append(column, np.uint64(0))
