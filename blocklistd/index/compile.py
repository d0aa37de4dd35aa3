"""Entries of all feeds → the sections that answer: IPv4 and IPv6 segments, names, tables.

Takes one ``Source`` a feed in catalogue order, gives encoded sections and how much each feed covers. What a section
depends on is digested into its ``inputs``: where a former snapshot holds a section with the same inputs, it is used
again and nothing is computed; where only a few feeds differ, they are patched into the former segments.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.errors import SnapshotCorrupt
from blocklistd.index.coverage import coverage4, coverage6, coverage_keys, with_needed
from blocklistd.index.flatten import Flattened, flatten
from blocklistd.index.layout import EncodedSection, SectionReference, encode_section
from blocklistd.index.name_sections import encode_domains, encode_mails
from blocklistd.index.patch import patch
from blocklistd.index.search import GLOBAL6, ROOT4_SHIFT, ROOT6_SHIFT, ROOT_SLOTS
from blocklistd.index.table_sections import encode_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from blocklistd.index.coverage import Source
    from blocklistd.index.intervals import Scale
    from blocklistd.index.layout import Section

COMPILER: Final = 2
"""Changes when the same entries are compiled differently, so that no old section is used again."""
PATCHED_SHARE: Final = 0.25
"""Where more of the ranges than this share are of changed feeds, all are flattened: that costs no more."""


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
    open_section: Callable[[SectionReference], Section] | None = None,
) -> Compiled:
    """Compile everything, using former sections whose inputs are the same.

    former: sections of the last snapshot whose files are known to be whole; former_ranges: what ``ranges`` was then.
    open_section: opens one of the former, so that a few changed feeds can be patched into it. Raises ArithmeticError if
    flattening does not add up.
    """
    builder = _Builder(sources, former)
    inputs = " ".join([_digest(source.id for source in sources), *coverage_keys(sources)])
    ranges = {source.id: former_ranges.get(source.id, (0, 0)) for source in sources}
    if not (builder.reuse("v4", inputs) and builder.reuse("v6", inputs)):
        patched = open_section is not None and _patch(builder, inputs, ranges, open_section)
        if not patched:
            _flatten(builder, inputs, ranges)
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


def _flatten(builder: _Builder, inputs: str, ranges: dict[str, tuple[int, int]]) -> None:
    """Make the segments of both families from all feeds; ranges: filled in for every feed."""
    four = coverage4(builder.sources)
    builder.add("v4", _encode4(flatten(four, 2**32), inputs))
    six, scale = coverage6(builder.sources)
    builder.add("v6", _encode6(flatten(six, len(scale)), scale, inputs))
    for number, source in enumerate(builder.sources):
        ranges[source.id] = len(four[number].start), len(six[number].start)


def _patch(
    builder: _Builder,
    inputs: str,
    ranges: dict[str, tuple[int, int]],
    open_section: Callable[[SectionReference], Section],
) -> bool:
    """Make the segments from the former ones and the feeds that changed; False where flattening is as well."""
    sources, before = builder.sources, builder.former.get("v4")
    changed = _changed(before, inputs)
    if before is None or not changed:
        return False
    needed = with_needed([sources[number] for number in changed], sources)
    four, (six, _) = coverage4(needed), coverage6(needed)
    moved = sum(len(four[index].start) + ranges[sources[number].id][0] for index, number in enumerate(changed))
    if moved > PATCHED_SHARE * sum(count for count, _ in ranges.values()):
        return False
    changes = {number: four[index] for index, number in enumerate(changed)}
    try:
        section = open_section(before)
        builder.add("v4", _encode4(patch(_decode4(section), changes, len(sources), 2**32), inputs))
        section.close()
    except (SnapshotCorrupt, ArithmeticError):
        return False
    for index, number in enumerate(changed):
        id_, six_before = sources[number].id, ranges[sources[number].id][1]
        ranges[id_] = len(four[index].start), max(six_before, len(six[index].start))
    after = builder.former.get("v6")
    if after is not None and after.inputs == before.inputs and not any(ranges[sources[n].id][1] for n in changed):
        builder.sections["v6"] = replace(after, inputs=inputs)  # what changed has no IPv6, and had none
        return True
    six, scale = coverage6(sources)
    builder.add("v6", _encode6(flatten(six, len(scale)), scale, inputs))
    for number, source in enumerate(sources):
        ranges[source.id] = ranges[source.id][0], len(six[number].start)
    return True


def _changed(before: SectionReference | None, inputs: str) -> list[int]:
    """The positions of the feeds whose coverage is another than that of a former section; none if all may be."""
    then, now = before.inputs.split(" ") if before is not None else [""], inputs.split(" ")
    if len(then) != len(now) or then[0] != now[0]:
        return []
    return [number for number, (one, other) in enumerate(zip(then[1:], now[1:], strict=True)) if one != other]


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


def _encode4(flat: Flattened, inputs: str) -> EncodedSection:
    borders = np.arange(ROOT_SLOTS, dtype=np.uint32) << np.uint32(ROOT4_SHIFT)
    root = np.append(np.searchsorted(flat.starts, borders), len(flat.starts)).astype(np.uint32)
    return _encode("v4", {"root": root, "starts": flat.starts}, flat, inputs)


def _decode4(section: Section) -> Flattened:
    arrays = section.arrays
    sets = arrays["sets"]
    return Flattened(
        np.frombuffer(arrays["starts"], np.uint32),
        np.frombuffer(sets, np.uint16 if sets.itemsize == 2 else np.uint32),
        np.frombuffer(arrays["offsets"], np.uint32),
        np.frombuffer(arrays["members"], np.uint16),
    )


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
