"""Entries of all feeds → the address space that each of them covers, as merged intervals.

Takes one ``Source`` a feed in catalogue order; gives one ``Intervals`` a feed and family, widened and with the
exclusions taken out. Which feeds share an address is no matter here: ``flatten`` takes these intervals.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from blocklistd.addresses import SPECIAL, parse_entry
from blocklistd.catalogue.feed import BOGONS
from blocklistd.index.intervals import Intervals, Scale, each_intervals4, intervals4, no_intervals, subtract, unite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from blocklistd.addresses import Entry
    from blocklistd.index.entries import FeedEntries
    from blocklistd.networks import Networks


@dataclass(frozen=True, slots=True)
class Source:
    """One feed on its way into the index: its entries, the name of their section, and what the catalogue says.

    section: tells one version from another; where something is kept, the name of that section too. kept: address space
    (IPv4, IPv6) that has left the list and still counts.
    """

    id: str
    kind: str
    section: str
    entries: FeedEntries
    exclude: tuple[str, ...] = ()
    widen: int | None = None
    kept: tuple[Networks, Networks] | None = None


SPACE: Final = frozenset({"ip", "asn"})
"""Kinds of feeds that cover address space."""


def coverage_keys(sources: Sequence[Source]) -> list[str]:
    """For each feed a digest of everything that its coverage is made from: the same digest, the same coverage."""
    by_id = {source.id: source for source in sources}
    tables = [source.section for source in sources if source.kind == "asn_table"]

    def listed(one: Source) -> list[object]:
        section = one.section if one.kind in SPACE else ""
        return [one.kind, section, one.widen, *(tables if one.kind == "asn" else ())]

    texts = (
        repr([listed(source), source.exclude, [listed(by_id[name]) for name in source.exclude if name in by_id]])
        for source in sources
    )
    return [hashlib.blake2b(text.encode(), digest_size=12).hexdigest() for text in texts]


def with_needed(chosen: Sequence[Source], sources: Sequence[Source]) -> list[Source]:
    """Chosen feeds, and behind them those without which their coverage cannot be told."""
    ids = {source.id for source in chosen}
    wanted = {name for source in chosen for name in source.exclude}
    tables = any(source.kind == "asn" for source in sources if source.id in ids | wanted)
    others = [source for source in sources if source.id not in ids]
    return [*chosen, *(one for one in others if one.id in wanted or (tables and one.kind == "asn_table"))]


def coverage4(sources: Sequence[Source]) -> list[Intervals]:
    """The merged IPv4 space of each feed, exclusions taken out and what is kept added."""
    plain = iter(each_intervals4([source.entries.v4 for source in sources if source.kind == "ip"]))
    raw = [next(plain) if source.kind == "ip" else _listed4(source, sources) for source in sources]
    by_id = {source.id: intervals for source, intervals in zip(sources, raw, strict=True)}

    def space(entries: Sequence[Entry]) -> Intervals:
        four = [entry for entry in entries if entry.family == 4]
        return Intervals(np.array([e.first for e in four], np.int64), np.array([e.last + 1 for e in four], np.int64))

    listed = _without_excluded(sources, raw, by_id, space)
    return [
        intervals if source.kept is None else unite([intervals, intervals4(source.kept[0])])
        for source, intervals in zip(sources, listed, strict=True)
    ]


def _listed4(source: Source, sources: Sequence[Source]) -> Intervals:
    if source.kind == "asn":
        return unite(
            [
                Intervals(table.v4.first[chosen].astype(np.int64), table.v4.last[chosen].astype(np.int64) + 1)
                for table, chosen in _rows_of_asns(source, sources, 4)
            ],
        )
    return no_intervals()


def coverage6(sources: Sequence[Source]) -> tuple[list[Intervals], Scale]:
    """The same for IPv6, in ranks of a common scale."""
    bounds = [_listed6(source, sources) for source in sources]
    excluded = [entry for source in sources for entry in _excluded_entries(source) if entry.family == 6]
    fixed_first, fixed_last = _halves([e.first for e in excluded]), _halves([e.last for e in excluded])
    kept = [source.kept[1] for source in sources if source.kept is not None]
    scale = Scale(
        [*(first for first, _ in bounds), fixed_first, *(networks.first for networks in kept)],
        [*(last for _, last in bounds), fixed_last, *(networks.last for networks in kept)],
    )
    raw = [scale.intervals(first, last) for first, last in bounds]
    by_id = {source.id: intervals for source, intervals in zip(sources, raw, strict=True)}

    def space(entries: Sequence[Entry]) -> Intervals:
        six = [entry for entry in entries if entry.family == 6]
        return scale.intervals(_halves([e.first for e in six]), _halves([e.last for e in six]))

    listed = _without_excluded(sources, raw, by_id, space)
    served = [
        intervals if source.kept is None else unite([intervals, scale.ranks(source.kept[1].first, source.kept[1].last)])
        for source, intervals in zip(sources, listed, strict=True)
    ]
    return served, scale


def _listed6(source: Source, sources: Sequence[Source]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if source.kind == "asn":
        chosen = [(table.v6.first[rows], table.v6.last[rows]) for table, rows in _rows_of_asns(source, sources, 6)]
        return (
            np.concatenate([_halves([]), *[first for first, _ in chosen]]),
            np.concatenate([_halves([]), *[last for _, last in chosen]]),
        )
    if source.kind != "ip":
        return _halves([]), _halves([])
    networks = widened(source)
    return networks.first, networks.last


def widened(source: Source) -> Networks:
    """The IPv6 entries of a feed, single addresses standing for the network that the catalogue says."""
    networks = source.entries.v6
    if source.widen is None:
        return networks
    first, last = _widen(networks.first, networks.last, source.widen)
    return replace(networks, first=first, last=last)


def _widen(
    first: NDArray[np.uint64],
    last: NDArray[np.uint64],
    length: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Single addresses become the network of that prefix length around them."""
    single = np.all(first == last, axis=1)
    mask = (1 << 128 - length) - 1
    high, low = np.uint64(mask >> 64), np.uint64(mask & 2**64 - 1)
    first, last = first.copy(), last.copy()
    first[single] &= ~np.array([high, low], np.uint64)
    last[single] |= np.array([high, low], np.uint64)
    return first, last


def _rows_of_asns(
    source: Source,
    sources: Sequence[Source],
    family: int,
) -> list[tuple[FeedEntries, NDArray[np.bool_]]]:
    """In each ASN table, the rows whose ASN the feed lists."""
    rows = []
    for table in sources:
        if table.kind != "asn_table":
            continue  # whose entries need not even be opened
        networks = table.entries.v4 if family == 4 else table.entries.v6
        if "asn" in networks.columns:
            rows.append((table.entries, np.isin(networks.columns["asn"], source.entries.asns)))
    return rows


def _excluded_entries(source: Source) -> list[Entry]:
    """The fixed ranges that a feed excludes: special-use space and CIDRs."""
    entries = list(SPECIAL) if BOGONS in source.exclude else []
    return entries + [entry for item in source.exclude if item != BOGONS and (entry := parse_entry(item))]


def _without_excluded(
    sources: Sequence[Source],
    raw: Sequence[Intervals],
    by_id: Mapping[str, Intervals],
    space: Callable[[Sequence[Entry]], Intervals],
) -> list[Intervals]:
    kept = []
    for source, intervals in zip(sources, raw, strict=True):
        taken = [by_id[item] for item in source.exclude if item in by_id]
        fixed = _excluded_entries(source)
        kept.append(subtract(intervals, unite([*taken, space(fixed)])) if taken or fixed else intervals)
    return kept


def _halves(values: Sequence[int]) -> NDArray[np.uint64]:
    return np.array([(value >> 64, value & 2**64 - 1) for value in values], np.uint64).reshape(-1, 2)
