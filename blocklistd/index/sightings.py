"""Which feeds name an address, in which network, since when and until when: what reports and explanations are made of.

Takes the family and value of an address and the feeds that a lookup named, gives a ``Sighting`` for each. Works on
integers; a feed's entries are opened and verified when it is first asked about, and texts of networks are kept. No
numpy: workers use this.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from blocklistd.addresses import format_address
from blocklistd.index.layout import NO_PARENT
from blocklistd.index.seen import ON_LIST, Seen
from blocklistd.index.starts import finder4

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklistd.index.feed_sections import FeedSections
    from blocklistd.index.layout import Section
    from blocklistd.index.record import FeedRecord
    from blocklistd.index.tables import Table

MOST_TEXTS: Final = 2**16
"""Texts of networks that are kept at most: some 10 MB."""
LOW64: Final = 2**64 - 1


class Sighting(NamedTuple):
    """One feed that names an address.

    network: the most exact one, as the list wrote it; first_seen, last_seen: unix seconds; current: False where the
    entry has left the list and still counts because of the feed's ``keep``; on_list: last_seen is no time of the entry
    itself but that of the last good fetch before the snapshot was built, and a later one confirms it anew.
    """

    record: FeedRecord
    network: str
    first_seen: float
    last_seen: float
    current: bool
    on_list: bool


class Sightings:
    """The sightings of one snapshot."""

    def __init__(self, records: Mapping[str, FeedRecord], sections: FeedSections, asn: Table) -> None:
        """asn: names the networks of addresses in a listed ASN."""
        self._records, self._sections, self._asn = records, sections, asn
        self._feeds: dict[str, _Feed] = {}
        self._texts: dict[int, dict[tuple[int, int], str]] = {4: {}, 6: {}}

    def of(self, family: int, value: int, feeds: Iterable[str]) -> list[Sighting]:
        """A sighting for each of the feeds, which must name the address. Raises KeyError, SnapshotCorrupt."""
        readers, texts, host = self._feeds, self._texts[family], ""
        found, make = [], tuple.__new__  # what calling Sighting comes to, less a call
        for name in feeds:
            feed = readers.get(name) or self._open(name)
            entry = feed.entry4(value) if family == 4 else feed.entry6(value)
            seen = feed.seen.at(family, value) if feed.seen is not None else None
            if entry is None:
                entry = self._around(feed, family, value, kept=seen is not None and not seen.current)
            if entry[0] == entry[1]:
                network = host = host or f"{format_address(family, value)}/{32 if family == 4 else 128}"
            else:
                network = texts.get(entry) or self._text(family, entry, value)
            if seen is None:
                found.append(make(Sighting, (feed.record, network, feed.first_seen, feed.confirmed, True, True)))
            elif seen.last == ON_LIST:
                found.append(make(Sighting, (feed.record, network, seen.first, feed.confirmed, seen.current, True)))
            else:
                found.append(make(Sighting, (feed.record, network, seen.first, seen.last, seen.current, False)))
        return found

    def open_all(self) -> None:
        """Open every feed that names addresses, ahead of the first question; in any thread. Raises SnapshotCorrupt."""
        for record in self._records.values():
            if record.kind in {"ip", "asn"} and record.id not in self._feeds:
                self._open(record.id)

    def _open(self, name: str) -> _Feed:
        entries, seen = self._sections.entries(name), self._sections.seen(name)
        feed = self._feeds[name] = _Feed(self._records[name], entries, Seen(seen) if seen else None)
        return feed

    def _around(self, feed: _Feed, family: int, value: int, *, kept: bool) -> tuple[int, int]:
        """The range in which a feed names an address that is in none of its entries."""
        record = feed.record
        if kept and feed.seen is not None:
            return feed.seen.stretch(family, value)
        if record.kind == "asn":
            return self._asn.stretch(family, value)[1:]
        if record.widen is not None and family == 6:
            size = 1 << 128 - record.widen
            return value & -size, value | size - 1
        return value, value

    def _text(self, family: int, entry: tuple[int, int], value: int) -> str:
        first, length = network_around(family, *entry, value)
        text = f"{format_address(family, first)}/{length}"
        if entry[1] - entry[0] + 1 == 1 << (32 if family == 4 else 128) - length:
            texts = self._texts[family]
            if len(texts) >= MOST_TEXTS:
                texts.clear()
            texts[entry] = text
        return text


def network_around(family: int, first: int, last: int, value: int) -> tuple[int, int]:
    """Of the CIDR networks that a range consists of, the one that holds an address: its first address and length.

    The smallest cover of a range is made of the largest networks that fit, so it is the widest around the address.
    """
    bits = (last - first + 1).bit_length() - 1
    while True:
        start = value >> bits << bits
        if start >= first and start + (1 << bits) - 1 <= last:
            return start, (32 if family == 4 else 128) - bits
        bits -= 1


class _Feed:
    """The entries of one feed, ready for searching."""

    __slots__ = ("_columns4", "_columns6", "confirmed", "first_seen", "record", "seen")

    def __init__(self, record: FeedRecord, section: Section, seen: Seen | None) -> None:
        arrays = section.arrays
        self.record, self.seen = record, seen
        self.first_seen, self.confirmed = record.first_seen, record.fetched_at
        self._columns4 = self._columns6 = None
        if "v4_first" in arrays:
            firsts = arrays["v4_first"]
            self._columns4 = finder4(firsts), firsts, arrays["v4_last"], arrays.get("v4_parents")
        if "v6_first_high" in arrays:
            first = arrays["v6_first_high"], arrays["v6_first_low"]
            self._columns6 = *first, arrays["v6_last_high"], arrays["v6_last_low"], arrays.get("v6_parents")

    def entry4(self, value: int) -> tuple[int, int] | None:
        """First and last address of the most exact entry that holds an IPv4 address."""
        if self._columns4 is None:
            return None
        find, firsts, lasts, parents = self._columns4
        index = find(value)
        while index >= 0:
            if (last := lasts[index]) >= value:
                return firsts[index], last
            if parents is None or (index := parents[index]) == NO_PARENT:
                return None
        return None

    def entry6(self, value: int) -> tuple[int, int] | None:
        """The same for IPv6."""
        if self._columns6 is None:
            return None
        first_high, first_low, last_high, last_low, parents = self._columns6
        high = value >> 64
        after = bisect_right(first_high, high)
        before = bisect_left(first_high, high, 0, after)
        index = (after if before == after else bisect_right(first_low, value & LOW64, before, after)) - 1
        while index >= 0:
            if (last := last_high[index] << 64 | last_low[index]) >= value:
                return first_high[index] << 64 | first_low[index], last
            if parents is None or (index := parents[index]) == NO_PARENT:
                return None
        return None
