"""Ranges of many feeds → disjoint segments, each with the number of one distinct feed set.

    feed 0   ████████████
    feed 1        ████████████
    feed 2        ███
    segments ┊ 1  ┊2 ┊  3 ┊ 4 ┊0        set 1 = {0}, 2 = {0,1,2}, 3 = {0,1}, 4 = {1}, 0 = {}

No sweep over sets: every feed gets a random 128-bit token, all range ends are sorted once, and the XOR of the tokens
so far tells the set; equal XORs are equal sets. Each distinct set is then decoded once, and the space covered by
every feed is compared with what went in. The cost is one sort of all ends, whatever the number of feeds.

Pure: intervals in, ``Flattened`` out; the tokens never show in the result, which is the same for the same input. The
kernel has a twin that walks the ends window by window and gives the same.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from blocklistd import kernel
from blocklistd.index.intervals import Intervals, total
from blocklistd.networks import last_of_each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray


ATTEMPTS: Final = 3
FEED_BITS: Final = 16
"""A border and its feed are sorted as one number: so many bits for the feed, as ``members`` have."""
TABLE_BITS: Final = 18
"""Keys are told apart in a table of two to the power of this places, which fits a processor's cache."""

BLOCK: Final = 2**17
"""So many items are worked on at a time."""


class Flattened(NamedTuple):
    """Disjoint segments over the whole space, which has at most 2**32 positions.

    starts: uint32, ascending, the first is 0; a segment reaches to the next start or the end of space.
    sets: uint32 (uint16 where read from a section), the number of each segment's feed set; neighbours differ. Set 0 is
    the empty one, the others are numbered as they first appear.
    members: for each set the feed positions in it, ascending, as one uint16 array; offsets: uint32, set s owns
    members[offsets[s]:offsets[s + 1]].
    """

    starts: NDArray[np.uint32]
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
        tokens = np.frombuffer(random_bytes(16 * len(feeds)), np.uint64).reshape(2, len(feeds))
        flat = _flatten(feeds, end, tokens) if kernel.active is None else _compiled(kernel.active, feeds, end, tokens)
        if flat is not None:
            check_space(flat, end, [total(feed) for feed in feeds])
            return flat
    raise ArithmeticError("different feed sets share one token sum")


def _compiled(active: ModuleType, feeds: Sequence[Intervals], end: int, tokens: NDArray[np.uint64]) -> Flattened:
    room = 1 + 2 * sum(len(feed.start) for feed in feeds)
    starts, sets = np.empty(room, np.uint32), np.empty(room, np.uint32)
    columns = [feed.start for feed in feeds], [feed.end for feed in feeds]
    count, offsets, members = active.flatten(*columns, tokens.ravel(), end, starts, sets)
    return Flattened(starts[:count], sets[:count], np.frombuffer(offsets, np.uint32), np.frombuffer(members, np.uint16))


def _flatten(feeds: Sequence[Intervals], end: int, tokens: NDArray[np.uint64]) -> Flattened | None:
    """One attempt; None where the tokens were unlucky."""
    starts, sums = _sums_by_position(feeds, end, tokens)
    numbers, firsts = number_by_appearance(sums[0])
    others, samples = sums[1], sums[1][firsts]
    if any(np.any(samples[numbers[part]] != others[part]) for part in blocks(len(others))):
        return None
    numbers, order = empty_first(numbers, np.flatnonzero(sums[0][firsts] == 0), len(firsts))
    del sums, others
    where = np.full(order.max() + 1, -1, np.int64)
    where[order] = starts[firsts]
    offsets, members = _decode(feeds, where)
    return Flattened(starts, numbers, offsets, members)


def _sums_by_position(
    feeds: Sequence[Intervals], end: int, tokens: NDArray[np.uint64]
) -> tuple[NDArray[np.uint32], NDArray[np.uint64]]:
    """The starts of all segments and, of shape (2, n), the XOR of the tokens of the feeds that hold there."""
    keys = np.empty(2 * sum(len(feed.start) for feed in feeds), np.uint64)
    at = 0
    for number, feed in enumerate(feeds):
        for column in feed:
            part = keys[at : at + len(column)]
            np.left_shift(column.astype(np.uint64, copy=False), np.uint64(FEED_BITS), out=part)
            part |= np.uint64(number)
            at += len(column)
    keys.sort()
    keys = keys[: np.searchsorted(keys, np.uint64(end << FEED_BITS))]
    starts = np.empty(len(keys) + 1, np.uint32)
    sums = np.empty((2, len(keys) + 1), np.uint64)
    count = 0
    if len(keys) == 0 or keys[0] >> np.uint64(FEED_BITS):
        starts[0], sums[:, 0], count = 0, 0, 1
    so_far = np.zeros(2, np.uint64)
    for begun in range(0, len(keys), BLOCK):
        part = keys[begun : begun + BLOCK + 1]  # one more, to see whether the last position goes on
        positions, owners = part >> np.uint64(FEED_BITS), part[:BLOCK].astype(np.uint16)
        last = np.flatnonzero(last_of_each(positions)[:BLOCK])
        found = slice(count, count + len(last))
        starts[found] = positions[last]
        for half in (0, 1):
            running = tokens[half][owners]
            running[0] ^= so_far[half]
            np.bitwise_xor.accumulate(running, out=running)
            so_far[half] = running[-1]
            sums[half, found] = running[last]
        count = found.stop
    starts, sums = starts[:count], sums[:, :count]
    differs = np.ones(count, np.bool_)
    differs[1:] = (sums[0, 1:] != sums[0, :-1]) | (sums[1, 1:] != sums[1, :-1])
    return (starts, sums) if differs.all() else (starts[differs], sums[:, differs])


def empty_first(
    numbers: NDArray[np.uint32], empty: NDArray[np.int64], count: int
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Of ``count`` sets numbered by appearance make the empty one number 0, whether it occurs or not.

    empty: its number so far, if it occurs. Gives the new numbers, and the new number of each old one.
    """
    order = np.arange(1, count + 1)
    for number in empty:
        order[number] = 0
        order[number + 1 :] -= 1
    changes = len(empty) == 0 or empty[0] != 0
    return order.astype(np.uint32)[numbers] if changes else numbers, order


def number_by_appearance(keys: NDArray[Any]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Number equal keys alike, in the order in which they first appear; and where each of them first does.

    keys: uint64 or uint32. Some bits of a key are its place in a table, where it leaves its index; who finds another
    key there tries again with other bits. Where distinct keys are many more than places, the rest is sorted.
    """
    table = np.empty(1 << TABLE_BITS, np.uint32)
    for part in reversed(blocks(len(keys))):
        table[_places(keys[part], 0)[::-1]] = np.arange(part.start, part.stop, dtype=np.uint32)[::-1]
    leader = np.empty(len(keys), np.uint32)
    left = []
    for part in blocks(len(keys)):
        leader[part] = found = table[_places(keys[part], 0)]
        left.append(np.flatnonzero(keys[found] != keys[part]) + part.start)
    rest = np.concatenate([np.empty(0, np.int64), *left])
    for shift in (TABLE_BITS, 2 * TABLE_BITS):
        mine = keys[rest]
        places = _places(mine, shift)
        table[places[::-1]] = rest[::-1]  # of several that write to one place the last one stays: the first to appear
        leader[rest] = found = table[places]
        rest = rest[keys[found] != mine]
    if len(rest):
        _, first, inverse = np.unique(keys[rest], return_index=True, return_inverse=True)
        leader[rest] = rest[first][inverse]
    leads = [
        np.flatnonzero(leader[part] == np.arange(part.start, part.stop)) + part.start for part in blocks(len(keys))
    ]
    firsts = np.concatenate([np.empty(0, np.int64), *leads])
    numbers = np.empty(len(keys), np.uint32)
    numbers[firsts] = np.arange(len(firsts), dtype=np.uint32)
    for part in blocks(len(keys)):
        leader[part] = numbers[leader[part]]
    return leader, firsts


def _places(keys: NDArray[Any], shift: int) -> NDArray[np.uint32]:
    bits: NDArray[np.uint32] = np.right_shift(keys, keys.dtype.type(shift)).astype(np.uint32)
    bits &= np.uint32((1 << TABLE_BITS) - 1)
    return bits


def blocks(count: int) -> list[slice]:
    """So many items in pieces that stay in a processor's cache."""
    return [slice(begun, min(begun + BLOCK, count)) for begun in range(0, count, BLOCK)]


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


def covered_by_set(flat: Flattened, end: int) -> NDArray[np.uint64]:
    """How many positions each set holds at."""
    if kernel.active is not None:
        covered = np.zeros(len(flat.offsets) - 1, np.uint64)
        kernel.active.measure(flat.starts, flat.sets, end, covered)
        return covered
    covered = np.zeros(len(flat.offsets) - 1, np.float64)  # lengths and their sums stay below 2**53
    for part in blocks(len(flat.starts)):
        starts = flat.starts[part.start : part.stop + 1].astype(np.float64)
        lengths = np.diff(starts) if part.stop < len(flat.starts) else np.diff(starts, append=end)
        covered += np.bincount(flat.sets[part], weights=lengths, minlength=len(covered))
    return covered.astype(np.uint64)


def covered_by_feed(flat: Flattened, end: int, feeds: int) -> NDArray[np.int64]:
    """How many positions each feed holds at."""
    per_member = np.repeat(covered_by_set(flat, end), np.diff(flat.offsets))
    return np.bincount(flat.members, weights=per_member, minlength=feeds).astype(np.int64)


def check_space(flat: Flattened, end: int, expected: Sequence[int]) -> None:
    """Every feed covers exactly as much as it should: a cheap proof that no range was lost or grew.

    Raises ArithmeticError.
    """
    covered = covered_by_feed(flat, end, len(expected)).tolist()
    for number, (found, wanted) in enumerate(zip(covered, expected, strict=True)):
        if found != wanted:
            raise ArithmeticError(f"feed {number} covers {found} instead of {wanted}")
