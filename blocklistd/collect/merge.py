"""Accepted ranges to ``Networks``: sorted by first and then widest first, every range once, its columns merged.

Of two rows for one range the latest ``last_seen``, the earliest known ``first_seen`` and the largest ``count`` are
kept, and of every other column the first value that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from blocklistd.networks import Networks, distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

Column = NDArray[np.uint32]


def make_networks(family: int, chunks: Sequence[tuple[NDArray[Any], NDArray[Any], dict[str, Column]]]) -> Networks:
    """Join chunks of (first, last, columns), all with the same columns."""
    first = _joined([chunk[0] for chunk in chunks])
    last = _joined([chunk[1] for chunk in chunks])
    columns = {role: np.concatenate([chunk[2][role] for chunk in chunks]) for role in chunks[0][2]}
    if family == 4 and not columns:
        return _bare4(first, last)
    keys = (~last, first) if family == 4 else (~last[:, 1], ~last[:, 0], first[:, 1], first[:, 0])
    if not _ascending(keys):
        order = np.lexsort(keys)
        first, last = first[order], last[order]
        columns = {role: column[order] for role, column in columns.items()}
    differs = np.ones(len(first), np.bool_)
    if family == 4:
        differs[1:] = (first[1:] != first[:-1]) | (last[1:] != last[:-1])
    else:
        differs[1:] = ((first[1:] != first[:-1]) | (last[1:] != last[:-1])).any(axis=1)
    starts = np.flatnonzero(differs)
    if len(starts) < len(first):
        columns = {role: _merged(role, column, starts) for role, column in columns.items()}
        first, last = first[starts], last[starts]
    return Networks(family, first, last, columns)


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _bare4(first: NDArray[np.uint32], last: NDArray[np.uint32]) -> Networks:
    """Both ends fit into one number, which sorts faster."""
    if (first[1:] > first[:-1]).all():
        return Networks(4, first, last)
    keys = distinct(first.astype(np.uint64) << np.uint64(32) | ~last)
    return Networks(4, (keys >> np.uint64(32)).astype(np.uint32), ~keys.astype(np.uint32))


def _ascending(keys: tuple[NDArray[Any], ...]) -> bool:
    """Whether the most significant key alone is strictly ascending: tables come sorted."""
    most = keys[-1]
    return bool((most[1:] > most[:-1]).all())


def _merged(role: str, column: Column, starts: NDArray[np.int64]) -> Column:
    if role in {"last_seen", "count"}:
        merged: Column = np.maximum.reduceat(column, starts)
        return merged
    if role == "first_seen":
        unknown = np.uint32(2**32 - 1)
        earliest = np.minimum.reduceat(np.where(column == 0, unknown, column), starts)
        return np.where(earliest == unknown, np.uint32(0), earliest)
    index = np.arange(len(column))
    known = np.minimum.reduceat(np.where(column == 0, len(column), index), starts)
    return column[np.where(known == len(column), starts, known)]
