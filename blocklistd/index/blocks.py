"""Changes of coverage → rows of the history: CIDR blocks, in the order in which the database stores them.

An ordered insert touches each page of the database once, whatever the number of feeds; so the changes of all feeds come
in together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.index.history import STATES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from blocklistd.index.stretches import Changes

CHUNK: Final = 65_536
"""Rows that are Python objects at one time."""

Row4 = tuple[int, int, int, int]
Row6 = tuple[int, bytes, int, int]
"""Prefix length, network as stored, number of the feed, code."""


def blocks4(changes: Mapping[int, Changes]) -> Iterator[Row4]:
    """The rows of all IPv4 changes, by number of the feed. All ranges at once: the widest block is cut off each."""
    start = _joined([one.start.astype(np.int64) for one in changes.values()], np.int64)
    end = _joined([one.end.astype(np.int64) + 1 for one in changes.values()], np.int64)
    code = _joined([one.before * np.uint8(STATES) + one.after for one in changes.values()], np.uint8)
    feed = np.repeat(np.array(list(changes), np.int64), [len(one.start) for one in changes.values()])
    done: list[tuple[NDArray[np.int64], ...]] = []
    while len(start):
        room = np.frexp((end - start).astype(np.float64))[1] - 1
        aligned = np.where(start == 0, 32, np.frexp((start & -start).astype(np.float64))[1] - 1)
        size = np.minimum(room, aligned).astype(np.int64)
        done.append((32 - size, start, feed, code.astype(np.int64)))
        start = start + (np.int64(1) << size)
        left = start < end
        start, end, feed, code = start[left], end[left], feed[left], code[left]
    if not done:
        return
    columns = [np.concatenate(column) for column in zip(*done, strict=True)]
    order = np.lexsort((columns[2], columns[1], columns[0]))
    for begin in range(0, len(order), CHUNK):
        chosen = order[begin : begin + CHUNK]
        yield from zip(*(column[chosen].tolist() for column in columns), strict=True)


def blocks6(changes: Mapping[int, Changes]) -> list[Row6]:
    """The same for IPv6."""
    return sorted(
        (length, first.to_bytes(16), feed, was * STATES + now)
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
