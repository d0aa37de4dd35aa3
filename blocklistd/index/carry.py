"""Carrying first and last seen of every feed from the former snapshot into the next one.

Takes the sources of a compile and the former snapshot, gives a ``Carried`` for each feed: its section ``seen``, and
its source with what has left the list and still counts. A feed that did not change keeps its section untouched.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from blocklistd.index.coverage import SPACE, coverage4, coverage6, coverage_keys, widened, with_needed
from blocklistd.index.entries import FeedEntries
from blocklistd.index.names import split_digests
from blocklistd.index.seen import ON_LIST, Sighted
from blocklistd.index.seen_sections import common_first, encode_names, encode_stretches
from blocklistd.index.stretches import Line, carry, kept_of, runs_out
from blocklistd.index.times import FeedTimes
from blocklistd.networks import Networks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocklistd.index.coverage import Source
    from blocklistd.index.layout import EncodedSection, SectionReference
    from blocklistd.index.snapshot import Snapshot
    from blocklistd.index.stretches import Stretches

NAMES: Final = frozenset({"domain", "email"})
"""Kinds of feeds that name names. Tables list nothing."""


@dataclass(frozen=True, slots=True)
class Version:
    """The version of a feed that is to go in force.

    arrived: when it came; confirmed: when the provider last confirmed the one before it; keep: seconds for which what
    leaves the list still counts. Unix seconds.
    """

    arrived: float
    confirmed: float
    keep: int


@dataclass(frozen=True, slots=True)
class Carried:
    """What carrying gives of a feed: what goes into its record, and its source as it is to be served.

    fresh: the new section ``seen``, None where there is none or it is the former one.
    """

    source: Source
    covers: str
    since: float
    seen: SectionReference | None = None
    fresh: EncodedSection | None = None


def carry_all(
    sources: Sequence[Source], versions: Mapping[str, Version], former: Snapshot | None, now: float
) -> dict[str, Carried]:
    """Carry every feed by its id; now: the time of this compile, at which what is kept may run out."""
    records = {record.id: record for record in former.feeds} if former is not None else {}
    carried = {}
    for source, key in zip(sources, coverage_keys(sources), strict=True):
        record = records.get(source.id)
        past = None
        if former is not None and record is not None and record.kind == source.kind:
            past = FeedTimes(former, record)
        covers = key if source.kind in SPACE else source.section
        carried[source.id] = _Carrier(source, sources, covers, versions[source.id], past, int(now)).carried()
    return carried


class _Carrier:
    """Carries one feed."""

    def __init__(
        self,
        source: Source,
        sources: Sequence[Source],
        covers: str,
        version: Version,
        past: FeedTimes | None,
        now: int,
    ) -> None:
        self.source, self.sources, self.covers = source, sources, covers
        self.version, self.past, self.now = version, past, now

    def carried(self) -> Carried:
        """Use again what stands, else make it new."""
        kind, past = self.source.kind, self.past
        if kind not in SPACE | NAMES:
            return Carried(self.source, self.covers, 0.0)
        if past is None and not gives_times(self.source):
            return Carried(self.source, self.covers, self.version.arrived)
        if past is not None and past.record.covers == self.covers:
            if past.record.seen is None or past.record.keep == self.version.keep == 0:
                return Carried(self.source, self.covers, past.record.since, past.record.seen)
            again = self._names_again(past) if kind in NAMES else self._space_again(past)
            if again is not None:
                return Carried(again, self.covers, past.record.since, past.record.seen)
        return self._names() if kind in NAMES else self._space()

    def _space_again(self, past: FeedTimes) -> Source | None:
        """The source with what was kept before, None where some of it runs out."""
        parts = [past.stretches(family) for family in (4, 6)]
        if any(runs_out(part, now=self.now, keep=self.version.keep) for part in parts):
            return None
        return self._with_space(parts, past.record.seen)

    def _names_again(self, past: FeedTimes) -> Source | None:
        names = past.names()
        if any(not seen.current and self.now - seen.last > self.version.keep for seen in names.values()):
            return None
        return self._with_names(names, past.record.seen)

    def _space(self) -> Carried:
        source, version = self.source, self.version
        before: list[Stretches] | list[None] = [None, None]
        given: tuple[Networks | None, ...] = (None, None)
        eligible: tuple[Networks | None, ...] = (None, None)
        if gives_times(source):
            given = source.entries.v4, widened(source)
        if self.past is not None:
            before = [self.past.stretches(family) for family in (4, 6)]
            if source.exclude:
                four, six = (Networks(part.family, part.start, part.end) for part in before)
                was = FeedEntries(v4=four, v6=six)
                eligible = covered_by(replace(source, kind="ip", entries=was, widen=None), self.sources)
        parts = [
            carry(
                before[number],
                covered,
                now=self.now,
                arrived=int(version.arrived),
                given=given[number],
                confirmed=int(version.confirmed),
                keep=version.keep,
                eligible=eligible[number],
            )
            for number, covered in enumerate(covered_by(source, self.sources))
        ]
        first = common_first(parts)
        if first is not None:
            return Carried(source, self.covers, first or version.arrived)
        fresh = encode_stretches(parts)
        served = self._with_space(parts, fresh.reference)
        return Carried(served, self.covers, version.arrived, fresh.reference, fresh)

    def _with_space(self, parts: Sequence[Stretches], seen: SectionReference | None) -> Source:
        """The source with what is kept, and named after that too: it is another version."""
        kept = kept_of(parts[0]), kept_of(parts[1])
        if seen is None or not any(map(len, kept)):
            return self.source
        return replace(self.source, section=f"{self.source.section}+{seen.name}", kept=kept)

    def _names(self) -> Carried:
        source, version = self.source, self.version
        before = {} if self.past is None else self.past.names()
        listed = split_digests(source.entries.mails) or [name.encode() for name in source.entries.domains]
        names = carry_names(before, listed, version, self.now)
        firsts = {seen.first for seen in names.values()}
        if len(firsts) <= 1 and all(seen.current for seen in names.values()):
            return Carried(source, self.covers, firsts.pop() if firsts else version.arrived)
        fresh = encode_names(names, digests=source.kind == "email")
        served = self._with_names(names, fresh.reference)
        return Carried(served, self.covers, version.arrived, fresh.reference, fresh)

    def _with_names(self, names: Mapping[bytes, Sighted], seen: SectionReference | None) -> Source:
        kept = [name for name, times in names.items() if not times.current]
        if seen is None or not kept:
            return self.source
        if self.source.kind == "email":
            entries = replace(self.source.entries, mails=b"".join(sorted(names)))
        else:
            entries = replace(self.source.entries, domains=tuple(name.decode() for name in sorted(names)))
        return replace(self.source, section=f"{self.source.section}+{seen.name}", entries=entries)


def carry_names(
    before: Mapping[bytes, Sighted], listed: Sequence[bytes], version: Version, now: int
) -> dict[bytes, Sighted]:
    """The times of names or digests: the same rules as for address space (``stretches.carry``)."""
    arrived, confirmed, keep = int(version.arrived), int(version.confirmed), version.keep
    names = {}
    for name in listed:
        was = before.get(name)
        continues = was is not None and (was.current or now - was.last <= keep)
        names[name] = Sighted(was.first if was is not None and continues else arrived, ON_LIST, True)
    for name, was in before.items():
        left = confirmed if was.current else was.last
        if keep and name not in names and now - left <= keep:
            names[name] = Sighted(was.first, left, False)
    return names


def covered_by(source: Source, sources: Sequence[Source]) -> tuple[Networks, Networks]:
    """What one feed covers, as disjoint ranges of both families."""
    needed = with_needed([source], sources)
    four = coverage4(needed)[0]
    six, scale = coverage6(needed)
    return Networks(4, *Line(4).bounds(four)), Networks(6, *Line(6, scale).bounds(six[0]))


def gives_times(source: Source) -> bool:
    """Whether the list itself says when it saw its entries."""
    entries = source.entries
    return bool({"first_seen", "last_seen"} & (entries.v4.columns.keys() | entries.v6.columns.keys()))
