"""A version of a feed in numbers, and beside the one before it: what the gate judges by.

Takes parsed or stored entries, gives a ``Version``, an overlap and the canaries it names. IPv4 is measured in
addresses, IPv6 in networks of /64, in part covered ones included. Runs in a lane, over what strangers wrote.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from blocklistd.addresses import SPECIAL
from blocklistd.collect.past import Version
from blocklistd.index.intervals import Intervals, merge, subtract
from blocklistd.index.names import split_digests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from blocklistd.collect.model import ParsedFeed
    from blocklistd.index.entries import FeedEntries
    from blocklistd.networks import Networks

_MIDDLE = 2**63
"""Taken off the high half of an IPv6 address, so that it fits a signed number and keeps its order."""


class Canary(NamedTuple):
    """An address that no list of risk should name; ``words`` say which and why."""

    family: int
    value: int
    words: str


def measure(parsed: ParsedFeed) -> Version:
    """The version in numbers; when it goes into force is not known yet."""
    counts = parsed.counts
    four, six = spans(parsed.v4), spans(parsed.v6)
    return Version(
        at=0.0,
        dated=parsed.dated or 0.0,
        unique=counts.unique,
        lines=counts.entries + counts.below_minimum,
        rejected=counts.rejected,
        wide=counts.wide,
        v4=total(merge(four)),
        v6=total(merge(six)),
        widest4=_widest(four),
        widest6=_widest(six),
        public4=total(subtract(merge(four), _special(4))),
        public6=total(subtract(merge(six), _special(6))),
    )


def overlap(one: FeedEntries, other: FeedEntries) -> float | None:
    """What two versions have in common, of all that either says: 0 to 1; None where neither says anything.

    Addresses count by the space covered, in the family of which there are more entries; names, mail addresses and AS
    numbers one by one.
    """
    if max(len(one.v4), len(one.v6), len(other.v4), len(other.v6)):
        four = len(one.v4) + len(other.v4) >= len(one.v6) + len(other.v6)
        mine, theirs = (merge(spans(entries.v4 if four else entries.v6)) for entries in (one, other))
        both = total(mine) - total(subtract(mine, theirs))
        return both / max(1, total(mine) + total(theirs) - both)
    ours, others = _names(one), _names(other)
    return len(ours & others) / len(ours | others) if ours or others else None


def named(canaries: Iterable[Canary], v4: Networks, v6: Networks) -> list[str]:
    """Which of the canaries the entries cover, in words."""
    return [canary.words for canary in canaries if _covers(v4 if canary.family == 4 else v6, canary.value)]


def spans(networks: Networks) -> Intervals:
    """Entries as half-open intervals, one for one: of addresses, for IPv6 of networks of /64."""
    if networks.family == 4:
        return Intervals(networks.first.astype(np.int64), networks.last.astype(np.int64) + 1)
    middle = np.uint64(_MIDDLE)
    first, last = ((column[:, 0] ^ middle).view(np.int64) for column in (networks.first, networks.last))
    return Intervals(first, np.minimum(last, np.int64(2**63 - 2)) + 1)


def total(intervals: Intervals) -> int:
    """How many numbers merged intervals cover; up to 2**64, which an int64 does not hold."""
    return int(_lengths(intervals).astype(np.float64).sum()) if len(intervals.start) else 0


def _lengths(intervals: Intervals) -> NDArray[np.uint64]:
    return (intervals.end - intervals.start).view(np.uint64)  # wraps where it must, and is right unsigned


def _widest(intervals: Intervals) -> int:
    return int(_lengths(intervals).max(initial=0))


def _covers(networks: Networks, value: int) -> bool:
    first, last = networks.first, networks.last
    if networks.family == 4:
        return bool(((first <= value) & (last >= value)).any())
    high, low = np.uint64(value >> 64), np.uint64(value & 2**64 - 1)
    begun = (first[:, 0] < high) | ((first[:, 0] == high) & (first[:, 1] <= low))
    open_still = (last[:, 0] > high) | ((last[:, 0] == high) & (last[:, 1] >= low))
    return bool((begun & open_still).any())


def _names(entries: FeedEntries) -> set[str] | set[bytes] | set[int]:
    if entries.domains:
        return set(entries.domains)
    if entries.mails:
        return set(split_digests(entries.mails))
    return set(entries.asns.tolist())


@cache
def _special(family: int) -> Intervals:
    """Special-use space, in the numbers of ``spans``."""
    if family == 4:
        pairs = [(entry.first, entry.last + 1) for entry in SPECIAL if entry.family == 4]
    else:
        halves = [(entry.first >> 64, entry.last >> 64) for entry in SPECIAL if entry.family == 6]
        pairs = [(first - _MIDDLE, min(last - _MIDDLE, 2**63 - 2) + 1) for first, last in halves]
    starts, ends = zip(*pairs, strict=True)
    return merge(Intervals(np.array(starts, np.int64), np.array(ends, np.int64)))
