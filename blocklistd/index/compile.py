"""Entries of all feeds → the sections that answer: IPv4 and IPv6 segments, names, tables.

Takes one ``Source`` a feed in catalogue order, gives encoded sections and how much each feed covers. What a section
depends on is digested into its ``inputs``: where a former snapshot holds a section with the same inputs, it is used
again and nothing is computed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.addresses import SPECIAL, parse_entry
from blocklistd.catalogue.feed import BOGONS
from blocklistd.index.flatten import Flattened, flatten
from blocklistd.index.intervals import Intervals, Scale, intervals4, no_intervals, subtract, unite
from blocklistd.index.layout import EncodedSection, SectionReference, encode_section
from blocklistd.index.name_sections import encode_domains, encode_mails
from blocklistd.index.search import GLOBAL6, ROOT4_SHIFT, ROOT6_SHIFT, ROOT_SLOTS
from blocklistd.index.tables import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from blocklistd.addresses import Entry
    from blocklistd.index.entries import FeedEntries

COMPILER: Final = 1
"""Changes when the same entries are compiled differently, so that no old section is used again."""


@dataclass(frozen=True, slots=True)
class Source:
    """One feed on its way into the index: its entries, the name of their section, and what the catalogue says."""

    id: str
    kind: str
    section: str
    entries: FeedEntries
    exclude: tuple[str, ...] = ()
    widen: int | None = None


@dataclass(frozen=True, slots=True)
class Compiled:
    """The sections by role, new ones with their bytes, and merged ranges by feed: (IPv4, IPv6)."""

    sections: dict[str, SectionReference]
    fresh: tuple[EncodedSection, ...]
    ranges: dict[str, tuple[int, int]]


def compile_index(
    sources: Sequence[Source],
    former: Mapping[str, SectionReference],
    former_ranges: Mapping[str, tuple[int, int]],
) -> Compiled:
    """Compile everything, using former sections whose inputs are the same.

    former: sections of the last snapshot whose files are known to be whole. Raises ArithmeticError if flattening
    does not add up.
    """
    builder = _Builder(sources, former)
    covers = [source for source in sources if source.kind in {"ip", "asn"}]
    inputs = _digest((s.id, s.section if s in covers else "", s.kind, s.exclude, s.widen) for s in sources)
    inputs = _digest([inputs, *(s.section for s in sources if s.kind == "asn_table")])
    ranges = {source.id: former_ranges.get(source.id, (0, 0)) for source in sources}
    if not (builder.reuse("v4", inputs) and builder.reuse("v6", inputs)):
        four = _coverage4(sources)
        builder.add("v4", _encode4(flatten(four, 2**32), inputs))
        six, scale = _coverage6(sources)
        builder.add("v6", _encode6(flatten(six, len(scale)), scale, inputs))
        ranges = {source.id: (len(four[number].start), len(six[number].start)) for number, source in enumerate(sources)}
    builder.build(
        "domains",
        {"domain"},
        lambda inputs: encode_domains([s.entries.domains for s in sources], inputs),
    )
    builder.build("mails", {"email"}, lambda inputs: encode_mails([s.entries.mails for s in sources], inputs))
    for role in ("asn", "country"):
        tables = [source.entries for source in sources if source.kind == f"{role}_table"]
        builder.build(role, {f"{role}_table"}, partial(encode_table, role, tables))
    return Compiled(builder.sections, tuple(builder.fresh), ranges)


class _Builder:
    """Collects sections, new ones and those used again."""

    def __init__(self, sources: Sequence[Source], former: Mapping[str, SectionReference]) -> None:
        self.sources, self.former = sources, former
        self.sections: dict[str, SectionReference] = {}
        self.fresh: list[EncodedSection] = []

    def reuse(self, role: str, inputs: str) -> bool:
        """Take the former section of a role if it was made from the same."""
        reference = self.former.get(role)
        if reference is None or reference.inputs != inputs:
            return False
        self.sections[role] = reference
        return True

    def add(self, role: str, section: EncodedSection) -> None:
        """Take a new section."""
        self.sections[role] = section.reference
        self.fresh.append(section)

    def build(self, role: str, kinds: set[str], encode: Callable[[str], EncodedSection]) -> None:
        """Use again or make the section of a role that depends on feeds of some kinds."""
        ids = [source.id for source in self.sources]
        inputs = _digest([role, *ids, *(s.section for s in self.sources if s.kind in kinds)])
        if not self.reuse(role, inputs):
            self.add(role, encode(inputs))


def _digest(parts: Iterable[object]) -> str:
    text = repr([COMPILER, *parts])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _coverage4(sources: Sequence[Source]) -> list[Intervals]:
    """The merged IPv4 space of each feed, exclusions taken out."""
    raw = [_listed4(source, sources) for source in sources]
    by_id = {source.id: intervals for source, intervals in zip(sources, raw, strict=True)}

    def space(entries: Sequence[Entry]) -> Intervals:
        four = [entry for entry in entries if entry.family == 4]
        return Intervals(np.array([e.first for e in four], np.int64), np.array([e.last + 1 for e in four], np.int64))

    return _without_excluded(sources, raw, by_id, space)


def _listed4(source: Source, sources: Sequence[Source]) -> Intervals:
    if source.kind == "ip":
        return intervals4(source.entries.v4)
    if source.kind == "asn":
        return unite(
            [
                Intervals(table.v4.first[chosen].astype(np.int64), table.v4.last[chosen].astype(np.int64) + 1)
                for table, chosen in _rows_of_asns(source, sources, 4)
            ],
        )
    return no_intervals()


def _coverage6(sources: Sequence[Source]) -> tuple[list[Intervals], Scale]:
    """The merged IPv6 space of each feed in ranks of a common scale, exclusions taken out."""
    bounds = [_listed6(source, sources) for source in sources]
    excluded = [entry for source in sources for entry in _excluded_entries(source) if entry.family == 6]
    fixed_first, fixed_last = _halves([e.first for e in excluded]), _halves([e.last for e in excluded])
    scale = Scale([*(first for first, _ in bounds), fixed_first], [*(last for _, last in bounds), fixed_last])
    raw = [scale.intervals(first, last) for first, last in bounds]
    by_id = {source.id: intervals for source, intervals in zip(sources, raw, strict=True)}

    def space(entries: Sequence[Entry]) -> Intervals:
        six = [entry for entry in entries if entry.family == 6]
        return scale.intervals(_halves([e.first for e in six]), _halves([e.last for e in six]))

    return _without_excluded(sources, raw, by_id, space), scale


def _listed6(source: Source, sources: Sequence[Source]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    if source.kind == "asn":
        chosen = [(table.v6.first[rows], table.v6.last[rows]) for table, rows in _rows_of_asns(source, sources, 6)]
        return (
            np.concatenate([_halves([]), *[first for first, _ in chosen]]),
            np.concatenate([_halves([]), *[last for _, last in chosen]]),
        )
    if source.kind != "ip":
        return _halves([]), _halves([])
    first, last = source.entries.v6.first, source.entries.v6.last
    return (first, last) if source.widen is None else _widen(first, last, source.widen)


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
        networks = table.entries.v4 if family == 4 else table.entries.v6
        if table.kind == "asn_table" and "asn" in networks.columns:
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


def _encode4(flat: Flattened, inputs: str) -> EncodedSection:
    starts = flat.starts.astype(np.uint32)
    borders = np.arange(ROOT_SLOTS + 1, dtype=np.int64) << ROOT4_SHIFT
    root = np.searchsorted(flat.starts, borders).astype(np.uint32)
    return _encode("v4", {"root": root, "starts": starts}, flat, inputs)


def _encode6(flat: Flattened, scale: Scale, inputs: str) -> EncodedSection:
    addresses = scale.addresses(flat.starts)
    high, low = addresses[:, 0].copy(), addresses[:, 1].copy()
    borders = (np.arange(ROOT_SLOTS + 1, dtype=np.uint64) << np.uint64(ROOT6_SHIFT)) + np.uint64(GLOBAL6 << 60)
    root = np.searchsorted(high, borders).astype(np.uint32)
    return _encode("v6", {"root": root, "high": high, "low": low}, flat, inputs)


def _encode(kind: str, arrays: dict[str, Any], flat: Flattened, inputs: str) -> EncodedSection:
    small = len(flat.offsets) <= 2**16
    arrays |= {
        "sets": flat.sets.astype(np.uint16 if small else np.uint32),
        "offsets": flat.offsets,
        "members": flat.members,
    }
    return encode_section(kind, arrays, inputs)
