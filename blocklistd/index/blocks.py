"""Changes of coverage → rows of the history: CIDR blocks, in the order in which the database stores them.

An ordered insert touches each page of the database once, whatever the number of feeds; so the changes of all feeds come
in together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd.index.history import CODES, STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from blocklistd.index.stretches import Changes

Row6 = tuple[bytes, int, int]
"""Block, number of the feed, change, as ``history`` has them stored."""


def blocks4(changes: Mapping[int, Changes], generation: int) -> NDArray[np.int64]:
    """The rows of all IPv4 changes, by number of the feed: an array of shape (rows, 3).

    All ranges at once: the widest block is cut off each.
    """
    start = _joined([one.start.astype(np.int64) for one in changes.values()], np.int64)
    end = _joined([one.end.astype(np.int64) + 1 for one in changes.values()], np.int64)
    code = _joined([one.before * np.uint8(STATES) + one.after for one in changes.values()], np.uint8)
    change = code.astype(np.int64) + generation * CODES
    feed = np.repeat(np.array(list(changes), np.int64), [len(one.start) for one in changes.values()])
    done = [(start[:0], feed[:0], change[:0])]
    while len(start):
        room = np.frexp((end - start).astype(np.float64))[1] - 1
        aligned = np.where(start == 0, 32, np.frexp((start & -start).astype(np.float64))[1] - 1)
        size = np.minimum(room, aligned).astype(np.int64)
        done.append((32 - size << 32 | start, feed, change))
        start = start + (np.int64(1) << size)
        left = start < end
        start, end, feed, change = start[left], end[left], feed[left], change[left]
    block, feed, change = (np.concatenate(column) for column in zip(*done, strict=True))
    order = np.lexsort((feed, block))
    return np.stack([block[order], feed[order], change[order]], axis=1)


def blocks6(changes: Mapping[int, Changes], generation: int) -> list[Row6]:
    """The same for IPv6, as tuples."""
    return sorted(
        (bytes([length]) + first.to_bytes(16), feed, generation * CODES + was * STATES + now)
        for feed, one in changes.items()
        for (high, low), (last_high, last_low), was, now in zip(
            one.start.tolist(), one.end.tolist(), one.before.tolist(), one.after.tolist(), strict=True
        )
        for first, length in _networks6(high << 64 | low, (last_high << 64 | last_low) + 1)
    )


def _networks6(start: int, end: int) -> Iterator[tuple[int, int]]:
    """The CIDR networks that a half-open range consists of."""
    while start < end:
        aligned = (start & -start).bit_length() - 1 if start else 128
        size = min(aligned, (end - start).bit_length() - 1)
        yield start, 128 - size
        start += 1 << size


def _joined(parts: list[NDArray[Any]], kind: type[np.generic]) -> NDArray[Any]:
    return np.concatenate([np.empty(0, kind), *parts])
