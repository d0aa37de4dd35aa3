"""First and last seen by coverage: what a feed covered before and covers now → disjoint stretches with their times.

    before    ████████████      first seen Monday
    now             ██████████  Tuesday's list
    stretches ┊ A  ┊  B  ┊ C ┊  A left the list (gone, or kept for a while), B since Monday, C since Tuesday

By coverage, not by entry: two /25 that become a /24 are no event. Pure; both families go through one arithmetic of
integers (see ``intervals``). Also the events that lie between two such states, for the history.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from blocklistd.index.history import ABSENT, KEPT, LISTED
from blocklistd.index.intervals import Intervals, Scale
from blocklistd.index.seen import ON_LIST
from blocklistd.networks import distinct, no_networks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.networks import Networks


class Stretches(NamedTuple):
    """Disjoint stretches of one family, ascending; neighbours that touch differ in their times.

    start, end: first and last address, both inclusive, of the shapes that ``Networks`` has. first, last: unix
    seconds (uint32), ``last`` is ON_LIST where the entry is on the list and this gives no time. kept: left the list.
    """

    family: int
    start: NDArray[Any]
    end: NDArray[Any]
    first: NDArray[np.uint32]
    last: NDArray[np.uint32]
    kept: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.first)


class Changes(NamedTuple):
    """Stretches whose state changed: bounds as in ``Stretches``; before, after: ABSENT, LISTED or KEPT."""

    family: int
    start: NDArray[Any]
    end: NDArray[Any]
    before: NDArray[np.uint8]
    after: NDArray[np.uint8]


def no_stretches(family: int) -> Stretches:
    """Nothing is covered."""
    nothing = no_networks(family)
    times = np.empty(0, np.uint32)
    return Stretches(family, nothing.first, nothing.last, times, times, np.empty(0, np.bool_))


def all_since(covered: Networks, first: float) -> Stretches:
    """Disjoint ranges that all came at one time and are on the list."""
    count = len(covered)
    return Stretches(
        covered.family,
        covered.first,
        covered.last,
        np.full(count, int(first), np.uint32),
        np.full(count, ON_LIST, np.uint32),
        np.zeros(count, np.bool_),
    )


def carry(
    previous: Stretches | None,
    covered: Networks,
    *,
    now: int,
    arrived: int,
    given: Networks | None = None,
    confirmed: int = 0,
    keep: int = 0,
    eligible: Networks | None = None,
) -> Stretches:
    """The stretches of a feed's new version.

    previous: those of the version before, None if the feed is new. covered: what it covers now, as disjoint ranges;
    columns are not looked at. arrived: when the new version came, which is the first seen of what is new; confirmed:
    when the provider last confirmed the version before. given: entries with ``first_seen`` and ``last_seen`` of the
    list itself, which win, but none is after ``arrived``. keep: so many seconds what left the list still counts, up to
    ``now``. eligible: where that is so, None for everywhere: what the operator takes out of a feed has not left the
    list. Times are unix seconds.
    """
    family = covered.family
    before = no_stretches(family) if previous is None else previous
    own = no_networks(family) if given is None else given
    allowed = no_networks(family) if eligible is None else eligible
    line = Line.over(
        family,
        [before.start, covered.first, own.first, allowed.first],
        [before.end, covered.last, own.last, allowed.last],
    )
    then, here = line.intervals(before.start, before.end), line.intervals(covered.first, covered.last)
    entries = line.intervals(own.first, own.last)
    within = line.intervals(allowed.first, allowed.last)
    borders = distinct(np.concatenate([*then, *here, *entries, *within]))
    if len(borders) == 0:
        return no_stretches(family)
    cells = borders[:-1]
    old, was = _holders(then, cells)
    if eligible is not None:
        was &= _holders(within, cells)[1]
    _, listed = _holders(here, cells)
    first, last = _taken(before.first, old, was), _taken(before.last, old, was)
    was_kept = was & _taken(before.kept, old, was)
    left = np.where(was_kept | (last != ON_LIST), last, np.uint32(confirmed)).astype(np.int64)
    remembered = was & (~was_kept | (now - left <= keep))
    stays = ~listed & was & (keep > 0) & (now - left <= keep)
    first = np.where(remembered, first, np.uint32(arrived))
    last = np.where(listed, np.uint32(ON_LIST), left.astype(np.uint32))
    earliest, latest = _given(own, entries, borders)
    first = np.where(listed & (earliest > 0), np.minimum(earliest, np.uint32(arrived)), first)
    last = np.where(listed & (latest > 0), np.minimum(latest, np.uint32(arrived)), last)
    first = np.minimum(first, last)  # a list that was fetched today may say that it saw an address yesterday
    return _joined(line, borders, listed | stays, first.astype(np.uint32), last.astype(np.uint32), stays)


def differences(before: Stretches, after: Stretches) -> Changes:
    """Where the state changed between two times, touching stretches of the same change in one."""
    family = before.family
    if family == 4:
        before, after = _unlike(before, after)
    line = Line.over(family, [before.start, after.start], [before.end, after.end])
    old, new = line.intervals(before.start, before.end), line.intervals(after.start, after.end)
    borders = distinct(np.concatenate([*old, *new]))
    cells = borders[:-1]
    was, now = _state(before, old, cells), _state(after, new, cells)
    joined = _joined(line, borders, was != now, was.astype(np.uint32), now.astype(np.uint32), was != now)
    return Changes(family, joined.start, joined.end, joined.first.astype(np.uint8), joined.last.astype(np.uint8))


def _unlike(before: Stretches, after: Stretches) -> tuple[Stretches, Stretches]:
    """Both without the stretches that stand in both: mostly nearly all. IPv4 only."""
    if len(before) == 0 or len(after) == 0:
        return before, after
    place = np.minimum(np.searchsorted(after.start, before.start), len(after) - 1)
    same = (after.start[place] == before.start) & (after.end[place] == before.end)
    same &= after.kept[place] == before.kept
    other = np.ones(len(after), np.bool_)
    other[place[same]] = False
    return _chosen(before, np.flatnonzero(~same)), _chosen(after, np.flatnonzero(other))


def _chosen(stretches: Stretches, which: NDArray[np.int64]) -> Stretches:
    family, *columns = stretches
    return Stretches(family, *(column[which] for column in columns))


def runs_out(stretches: Stretches, *, now: int, keep: int) -> bool:
    """Whether anything kept has been kept for long enough."""
    return bool(np.any(now - stretches.last[stretches.kept].astype(np.int64) > keep))


def kept_of(stretches: Stretches) -> Networks:
    """What has left the list and still counts, as ranges."""
    nothing = no_networks(stretches.family)
    kept = stretches.kept
    return replace(nothing, first=stretches.start[kept], last=stretches.end[kept])


class Line:
    """Addresses of one family as int64: themselves for IPv4, ranks on a scale for IPv6."""

    def __init__(self, family: int, scale: Scale | None = None) -> None:
        self.family = family
        self._scale = scale

    @classmethod
    def over(cls, family: int, starts: Sequence[NDArray[Any]], ends: Sequence[NDArray[Any]]) -> Self:
        """With a scale of all these first and last addresses."""
        return cls(family, Scale(starts, ends) if family == 6 else None)

    def intervals(self, start: NDArray[Any], end: NDArray[Any]) -> Intervals:
        """Inclusive ranges as half-open intervals, one for one."""
        if self._scale is None:
            return Intervals(start.astype(np.int64), end.astype(np.int64) + 1)
        return self._scale.ranks(start, end)

    def bounds(self, intervals: Intervals) -> tuple[NDArray[Any], NDArray[Any]]:
        """And back."""
        if self._scale is None:
            return intervals.start.astype(np.uint32), (intervals.end - 1).astype(np.uint32)
        last = np.full((len(intervals.end), 2), 2**64 - 1, np.uint64)  # the end of all space has no address
        inside = intervals.end < len(self._scale)
        last[inside] = _predecessor(self._scale.addresses(intervals.end[inside]))
        return self._scale.addresses(intervals.start), last


def _predecessor(addresses: NDArray[np.uint64]) -> NDArray[np.uint64]:
    borrows = addresses[:, 1] == 0
    return np.stack([addresses[:, 0] - borrows, addresses[:, 1] - np.uint64(1)], axis=1)


def _holders(intervals: Intervals, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each cell the interval that holds it, and whether there is one; intervals are disjoint and ascending."""
    if len(intervals.start) == 0:
        return np.zeros(len(cells), np.int64), np.zeros(len(cells), np.bool_)
    index = np.searchsorted(intervals.start, cells, side="right") - 1
    held = (index >= 0) & (cells < intervals.end[index])
    return index, held


def _taken(values: NDArray[Any], index: NDArray[np.int64], held: NDArray[np.bool_]) -> NDArray[Any]:
    """The value of each cell's interval, 0 where there is none."""
    taken = np.zeros(len(index), values.dtype)
    taken[held] = values[index[held]]
    return taken


def _state(stretches: Stretches, intervals: Intervals, cells: NDArray[np.int64]) -> NDArray[np.uint8]:
    index, held = _holders(intervals, cells)
    kept = _taken(stretches.kept, index, held)
    return np.where(held, np.where(kept, KEPT, LISTED), ABSENT).astype(np.uint8)


def _given(
    own: Networks, entries: Intervals, borders: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The earliest first and the latest last time that entries of the list give for each cell, 0 for none."""
    nothing = np.zeros(len(borders) - 1, np.uint32)
    earliest, latest = nothing, nothing
    if "first_seen" in own.columns:
        earliest = ~_highest(entries, ~own.columns["first_seen"], own.columns["first_seen"] > 0, borders)
        earliest[earliest == ON_LIST] = 0
    if "last_seen" in own.columns:
        latest = _highest(entries, own.columns["last_seen"], own.columns["last_seen"] > 0, borders)
    return earliest, latest


def _highest(
    entries: Intervals, values: NDArray[np.uint32], known: NDArray[np.bool_], borders: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """For each cell the highest value of all entries over it, 0 where there is none.

    Entries may overlap as they like: each is laid down twice in the row of the largest power of two that fits it, then
    rows are handed down from large to small. n log n whatever a list writes.
    """
    left, right = np.searchsorted(borders, entries.start[known]), np.searchsorted(borders, entries.end[known])
    values = values[known]
    sizes = np.frexp((right - left).astype(np.float64))[1] - 1
    row = np.zeros(len(borders) - 1, np.uint32)
    for size in range(int(sizes.max(initial=0)), -1, -1):
        mine = sizes == size
        np.maximum.at(row, left[mine], values[mine])
        np.maximum.at(row, right[mine] - (1 << size), values[mine])
        if size:
            half = 1 << (size - 1)
            lower = row.copy()
            np.maximum(lower[half:], row[:-half], out=lower[half:])
            row = lower
    return row


def _joined(
    line: Line,
    borders: NDArray[np.int64],
    counts: NDArray[np.bool_],
    first: NDArray[np.uint32],
    last: NDArray[np.uint32],
    kept: NDArray[np.bool_],
) -> Stretches:
    """Cells that count, touching ones with equal values in one."""
    where = np.flatnonzero(counts)
    if len(where) == 0:
        return no_stretches(line.family)
    opens = np.ones(len(where), np.bool_)
    same = np.diff(where) == 1
    for column in (first, last, kept):
        same &= column[where[1:]] == column[where[:-1]]
    np.logical_not(same, out=opens[1:])
    begin = np.flatnonzero(opens)
    finish = np.append(begin[1:], len(where)) - 1
    chosen = where[begin]
    start, end = line.bounds(Intervals(borders[chosen], borders[where[finish] + 1]))
    return Stretches(line.family, start, end, first[chosen], last[chosen], kept[chosen])
