"""Ranges of many feeds → disjoint segments, each with the number of one distinct feed set.

    feed 0   ████████████
    feed 1        ████████████
    feed 2        ███
    segments ┊ 1  ┊2 ┊  3 ┊ 4 ┊0        set 1 = {0}, 2 = {0,1,2}, 3 = {0,1}, 4 = {1}, 0 = {}

No sweep over sets: every feed gets a random 128-bit token, all range ends are sorted once, and the XOR of the tokens
so far tells the set; equal XORs are equal sets. Each distinct set is then decoded once, and the space covered by
every feed is compared with what went in. The cost is one sort of all ends, whatever the number of feeds.

Pure: intervals in, ``Flattened`` out; the tokens never show in the result, which is the same for the same input.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from blocklistd.index.intervals import Intervals, total
from blocklistd.networks import last_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


ATTEMPTS: Final = 3


class Flattened(NamedTuple):
    """Disjoint segments over the whole space.

    starts: int64, ascending, the first is 0; a segment reaches to the next start or the end of space.
    sets: uint32, the number of each segment's feed set; neighbours differ. Set 0 is the empty one, the others are
    numbered as they first appear.
    members: for each set the feed positions in it, ascending, as one uint16 array; offsets: uint32, set s owns
    members[offsets[s]:offsets[s + 1]].
    """

    starts: NDArray[np.int64]
    sets: NDArray[np.uint32]
    offsets: NDArray[np.uint32]
    members: NDArray[np.uint16]


def flatten(
    feeds: Sequence[Intervals],
    end: int,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Flattened:
    """Flatten merged intervals, one entry a feed, over the space [0, end).

    Should the first halves of two different sums ever be equal (odds of about 2**-40 for thousands of sets), new
    tokens are drawn. Raises ArithmeticError if that happens again and again, or if a feed lost or gained space.
    """
    for _ in range(ATTEMPTS):
        flat = _flatten(feeds, end, random_bytes)
        if flat is not None:
            _check_space(feeds, end, flat)
            return flat
    raise ArithmeticError("different feed sets share one token sum")


def _flatten(feeds: Sequence[Intervals], end: int, random_bytes: Callable[[int], bytes]) -> Flattened | None:
    """One attempt; None where the tokens were unlucky."""
    positions, sums = _sums_by_position(feeds, random_bytes)
    inside = positions < end
    positions, sums = positions[inside], sums[:, inside]
    if len(positions) == 0 or positions[0] != 0:
        positions = np.concatenate([np.zeros(1, np.int64), positions])
        sums = np.concatenate([np.zeros((2, 1), np.uint64), sums], axis=1)
    differs = np.ones(len(positions), np.bool_)
    differs[1:] = (sums[0, 1:] != sums[0, :-1]) | (sums[1, 1:] != sums[1, :-1])
    positions, sums = positions[differs], sums[:, differs]
    numbered = _number(positions, sums)
    if numbered is None:
        return None
    sets, samples = numbered
    offsets, members = _decode(feeds, samples)
    return Flattened(positions, sets, offsets, members)


def _sums_by_position(
    feeds: Sequence[Intervals],
    random_bytes: Callable[[int], bytes],
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """All borders, ascending and unique, with the XOR of the tokens of the feeds that hold from there on."""
    if not any(len(feed.start) for feed in feeds):
        return np.empty(0, np.int64), np.empty((2, 0), np.uint64)
    tokens = np.frombuffer(random_bytes(16 * len(feeds)), np.uint64).reshape(2, len(feeds))
    positions = np.concatenate([column for feed in feeds for column in feed])
    owners = np.repeat(np.arange(len(feeds), dtype=np.uint16), [2 * len(feed.start) for feed in feeds])
    order = np.argsort(positions, kind="stable")
    positions, owners = positions[order], owners[order]
    del order
    last = last_of_each(positions)
    sums = np.stack([np.bitwise_xor.accumulate(tokens[half][owners])[last] for half in (0, 1)])
    return positions[last], sums


def _number(
    positions: NDArray[np.int64],
    sums: NDArray[np.uint64],
) -> tuple[NDArray[np.uint32], NDArray[np.int64]] | None:
    """Number the distinct sums by first appearance, 0 for the empty set; give a sample position for each."""
    distinct, first, inverse = np.unique(sums[0], return_index=True, return_inverse=True)
    if np.any(sums[1][first][inverse] != sums[1]):
        return None
    rank = np.argsort(first, kind="stable")
    nothing = np.flatnonzero(distinct == 0)
    if len(nothing):
        rank = np.concatenate([nothing, rank[rank != nothing[0]]])
    number = np.empty(len(distinct), np.uint32)
    number[rank] = np.arange(len(distinct), dtype=np.uint32) + (0 if len(nothing) else 1)
    return number[inverse], positions[first[rank]] if len(nothing) else np.append(-1, positions[first[rank]])


def _decode(feeds: Sequence[Intervals], samples: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Which feeds hold each sample position."""
    sets: list[NDArray[np.int64]] = []
    owners: list[NDArray[np.uint16]] = []
    for number, feed in enumerate(feeds):
        if len(feed.start) == 0:
            continue
        index = np.searchsorted(feed.start, samples, side="right") - 1
        held = np.flatnonzero((index >= 0) & (samples < feed.end[index]))
        sets.append(held)
        owners.append(np.full(len(held), number, np.uint16))
    if not sets:
        return np.zeros(len(samples) + 1, np.uint32), np.empty(0, np.uint16)
    set_of, feed_of = np.concatenate(sets), np.concatenate(owners)
    order = np.argsort(set_of, kind="stable")
    offsets = np.zeros(len(samples) + 1, np.uint32)
    offsets[1:] = np.cumsum(np.bincount(set_of, minlength=len(samples)))
    return offsets, feed_of[order]


def _check_space(feeds: Sequence[Intervals], end: int, flat: Flattened) -> None:
    """Every feed covers exactly as much as it brought: a cheap proof that no range was lost or grew."""
    lengths = np.diff(flat.starts, append=end)
    by_set = np.bincount(flat.sets, weights=lengths, minlength=len(flat.offsets) - 1)
    per_member = np.repeat(by_set, np.diff(flat.offsets))
    covered = np.bincount(flat.members, weights=per_member, minlength=len(feeds)).astype(np.int64)
    for number, feed in enumerate(feeds):
        if covered[number] != (expected := total(feed)):
            raise ArithmeticError(f"feed {number} covers {covered[number]} instead of {expected}")
