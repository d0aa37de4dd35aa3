"""Making the sections of ASN and country tables: ranges that say something about every address instead of listing some.

All tables of one kind are painted over one another, the widest entries first, so that the most exact one shows; of
equals the one later in the catalogue. The result is disjoint segments with the number of a record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from blocklistd.index.intervals import Scale
from blocklistd.index.layout import encode_section
from blocklistd.networks import distinct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.index.entries import FeedEntries
    from blocklistd.index.layout import EncodedSection
    from blocklistd.networks import Networks


class Painted(NamedTuple):
    """Disjoint segments: starts (int64) and the record each shows, 0 for none."""

    starts: NDArray[np.int64]
    records: NDArray[np.uint32]


def encode_table(kind: str, tables: Sequence[FeedEntries], inputs: str) -> EncodedSection:
    """Make the section ``asn`` or ``country`` of all tables of that kind.

    Records are (asn, name) or (0, country); record 0 is nothing.
    """
    records: dict[tuple[int, str], int] = {(0, ""): 0}
    numbered = [
        tuple(_record_numbers(networks, table.texts, records) for networks in (table.v4, table.v6)) for table in tables
    ]
    arrays: dict[str, NDArray[Any] | bytes] = {}
    four = paint(
        np.concatenate([np.empty(0, np.int64), *[table.v4.first.astype(np.int64) for table in tables]]),
        np.concatenate([np.empty(0, np.int64), *[table.v4.last.astype(np.int64) + 1 for table in tables]]),
        np.concatenate([np.empty(0, np.uint32), *[numbers[0] for numbers in numbered]]),
        2**32,
    )
    arrays["v4_starts"], arrays["v4_records"] = four.starts.astype(np.uint32), four.records
    scale = Scale([table.v6.first for table in tables], [table.v6.last for table in tables])
    ranks = [scale.ranks(table.v6.first, table.v6.last) for table in tables]
    six = paint(
        np.concatenate([np.empty(0, np.int64), *[start for start, _ in ranks]]),
        np.concatenate([np.empty(0, np.int64), *[end for _, end in ranks]]),
        np.concatenate([np.empty(0, np.uint32), *[numbers[1] for numbers in numbered]]),
        len(scale),
    )
    addresses = scale.addresses(six.starts)
    arrays["v6_high"], arrays["v6_low"] = addresses[:, 0].copy(), addresses[:, 1].copy()
    arrays["v6_records"] = six.records
    texts = [text.encode() for _, text in records]
    arrays["numbers"] = np.fromiter((number for number, _ in records), np.uint32, len(records))
    arrays["names"] = b"".join(texts)
    arrays["name_offsets"] = np.cumsum([0, *map(len, texts)]).astype(np.uint32)
    return encode_section(kind, arrays, inputs)


def _record_numbers(
    networks: Networks,
    texts: Sequence[str],
    records: dict[tuple[int, str], int],
) -> NDArray[np.uint32]:
    """The record of each entry; new records are added."""
    nothing = np.zeros(len(networks), np.uint32)
    numbers = networks.columns.get("asn", nothing)
    names = networks.columns.get("name" if "asn" in networks.columns else "country", nothing)
    pairs = numbers.astype(np.uint64) << np.uint64(32) | names.astype(np.uint64)
    pairs, inverse = np.unique(pairs, return_inverse=True)
    own = [
        records.setdefault((int(pair >> 32), texts[int(pair & 0xFFFFFFFF)]), len(records)) for pair in pairs.tolist()
    ]
    return np.array(own, np.uint32)[inverse] if own else nothing


def paint(
    start: NDArray[np.int64],
    end: NDArray[np.int64],
    records: NDArray[np.uint32],
    limit: int,
) -> Painted:
    """Paint half-open ranges over [0, limit), the widest first; neighbours with one record become one segment."""
    borders = distinct(np.concatenate([start, end]))
    shown = np.zeros(len(borders), np.uint32)
    left, right = np.searchsorted(borders, start), np.searchsorted(borders, end)
    simple = right - left == 1
    for index in np.flatnonzero(~simple)[np.argsort((start - end)[~simple], kind="stable")].tolist():
        shown[left[index] : right[index]] = records[index]
    # A range without a border inside is at most as wide as any that meets it, so all of these come last, at once.
    shown[left[simple]] = records[simple]
    inside = borders < limit
    borders, shown = borders[inside], shown[inside]
    if len(borders) == 0 or borders[0] != 0:
        borders, shown = np.append(0, borders), np.append(np.uint32(0), shown).astype(np.uint32)
    changes = np.ones(len(shown), np.bool_)
    np.not_equal(shown[1:], shown[:-1], out=changes[1:])
    return Painted(borders[changes], shown[changes])
