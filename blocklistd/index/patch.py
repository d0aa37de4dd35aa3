"""A few changed feeds put into segments that stand: what a warm compile does instead of flattening everything.

    segments before    ┊ {0}   ┊ {0,1}  ┊ {1}  ┊ {}        feed 1 has changed
    without feed 1     ┊ {0}            ┊ {}                taken out of the sets, not of the segments
    feed 1 now                   ┊ {1}       ┊ {}
    segments now       ┊ {0}     ┊ {0,1}┊{1} ┊ {}

The changed feeds are taken out of each distinct set, flattened by themselves, and their borders merged into the old
ones. A segment is then known by two small numbers: of its set without the changed feeds, and of its set of changed
feeds. Nothing is needed of the feeds that did not change. Pure; the result is array by array that of ``flatten``.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from blocklistd import kernel
from blocklistd.index.flatten import (
    Flattened,
    check_space,
    covered_by_feed,
    empty_first,
    flatten,
    number_by_appearance,
)
from blocklistd.index.intervals import Intervals, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType

    from numpy.typing import NDArray


_Pairs = tuple["NDArray[np.int64]", "NDArray[np.uint16]"]
"""Members one after another, each with the index of its set."""
_Overlaid = tuple["NDArray[np.uint32]", "NDArray[np.uint32]", "NDArray[Any]", "NDArray[Any]"]
"""Starts and numbers of segments; for each number from 1 on the number of its set in either layer."""


class _Sets(NamedTuple):
    """Distinct sets as in ``Flattened``."""

    offsets: NDArray[np.uint32]
    members: NDArray[np.uint16]

    def pairs(self, chosen: NDArray[np.integer[Any]]) -> _Pairs:
        """The members of chosen sets one after another, each with the index of its set among the chosen."""
        lengths = (self.offsets[1:] - self.offsets[:-1])[chosen].astype(np.int64)
        owners = np.repeat(np.arange(len(chosen)), lengths)
        skipped = np.repeat(self.offsets[:-1][chosen] - np.concatenate([[0], np.cumsum(lengths)[:-1]]), lengths)
        return owners, self.members[(np.arange(len(owners)) + skipped).astype(np.int64)]

    def empty(self) -> int:
        """The number of the empty set, one more than there are if it is not among them."""
        where = np.flatnonzero(self.offsets[1:] == self.offsets[:-1])
        return int(where[0]) if len(where) else len(self.offsets) - 1


def patch(
    former: Flattened,
    changes: Mapping[int, Intervals],
    feeds: int,
    end: int,
    random_bytes: Callable[[int], bytes] = os.urandom,
) -> Flattened:
    """The segments after some feeds changed.

    changes: the merged intervals of each changed feed now, by its position among the feeds. Raises ArithmeticError if a
    feed lost or gained space, or if the sums of two sets are alike.
    """
    changed = np.array(sorted(changes), np.int64)
    expected = covered_by_feed(former, end, feeds)
    expected[changed] = [total(changes[number]) for number in changed.tolist()]
    upper = flatten([changes[number] for number in changed.tolist()], end)
    own = _Sets(upper.offsets, changed.astype(np.uint16)[upper.members])
    rest, become = _without(former, changed, np.frombuffer(random_bytes(16 * feeds), np.uint64).reshape(2, feeds))
    layers = _overlay if kernel.active is None else partial(_overlay_compiled, kernel.active)
    starts, numbers, rests, owns = layers(former, become, upper, rest.empty())
    flat = Flattened(starts, numbers, *_joined(rest.pairs(rests), own.pairs(owns), len(rests)))
    check_space(flat, end, expected.tolist())
    return flat


def _without(
    former: Flattened, changed: NDArray[np.int64], tokens: NDArray[np.uint64]
) -> tuple[_Sets, NDArray[np.uint32]]:
    """The distinct sets that are left when feeds are taken out, and which of them each set becomes."""
    tokens = tokens.copy()
    tokens[:, changed] = 0
    sums = []
    for half in tokens:
        so_far = np.zeros(len(former.members) + 1, np.uint64)
        np.bitwise_xor.accumulate(half[former.members], out=so_far[1:])
        sums.append(so_far[former.offsets[1:]] ^ so_far[former.offsets[:-1]])
    become, firsts = number_by_appearance(sums[0])
    if np.any(sums[1][firsts][become] != sums[1]):
        raise ArithmeticError("different feed sets share one token sum")
    owners, members = _Sets(former.offsets, former.members).pairs(firsts)
    stays = ~np.isin(members, changed.astype(np.uint16))
    offsets = np.searchsorted(owners[stays], np.arange(len(firsts) + 1)).astype(np.uint32)
    return _Sets(offsets, members[stays]), become


def _overlay_compiled(
    active: ModuleType, former: Flattened, become: NDArray[np.uint32], upper: Flattened, empty: int
) -> _Overlaid:
    room = len(former.starts) + len(upper.starts)
    starts, numbers = np.empty(room, np.uint32), np.empty(room, np.uint32)
    columns = former.starts, former.sets, become, upper.starts, upper.sets
    count, pairs = active.overlay(*columns, empty, starts, numbers)
    keys = np.frombuffer(pairs, np.uint64)
    return starts[:count], numbers[:count], keys >> np.uint64(32), keys & np.uint64(2**32 - 1)


def _overlay(former: Flattened, become: NDArray[np.uint32], upper: Flattened, empty: int) -> _Overlaid:
    """All segments of both layers with the number of their pair, and of each number from 1 on the pair."""
    count = len(upper.offsets) - 1
    factor = np.uint32(count) if len(former.offsets) * count < 2**32 else np.uint64(count)
    starts, keys = _merged(former.starts, (become * factor)[former.sets], upper)
    differs = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=differs[1:])
    if not differs.all():
        starts, keys = starts[differs], keys[differs]
    numbers, firsts = number_by_appearance(keys)
    rests, owns = np.divmod(keys[firsts], factor)
    where = np.flatnonzero((rests == empty) & (owns == 0))
    numbers, _ = empty_first(numbers, where, len(firsts))
    return starts, numbers, np.delete(rests, where), np.delete(owns, where)


def _merged(
    starts: NDArray[np.uint32], keys: NDArray[Any], upper: Flattened
) -> tuple[NDArray[np.uint32], NDArray[Any]]:
    """Segments cut at the borders of the upper layer too, its numbers added to their keys."""
    at = np.searchsorted(starts, upper.starts)
    known = np.zeros(len(at), np.bool_)
    inside = at < len(starts)
    known[inside] = starts[at[inside]] == upper.starts[inside]
    new = np.flatnonzero(~known)
    if len(new):
        starts, keys = np.insert(starts, at[new], upper.starts[new]), np.insert(keys, at[new], keys[at[new] - 1])
        at = at + np.cumsum(~known) - ~known
    keys += np.repeat(upper.sets.astype(keys.dtype), np.diff(at, append=len(starts)))
    return starts, keys


def _joined(one: _Pairs, other: _Pairs, count: int) -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Offsets and members of sets 1 to ``count`` that hold the members of both, ascending; set 0 is empty."""
    pairs = np.concatenate([one[0], other[0]]).astype(np.uint64) << np.uint64(16)
    pairs |= np.concatenate([one[1], other[1]])
    pairs.sort()
    members = pairs.astype(np.uint16)
    pairs >>= np.uint64(16)
    offsets = np.searchsorted(pairs, np.arange(count + 1, dtype=np.uint64)).astype(np.uint32)
    return np.concatenate([np.zeros(1, np.uint32), offsets]), members
