"""Since when a feed names an address, and until when: reading the section ``seen`` of one feed.

Takes a section, gives a ``Sighted`` for an address, a domain or a mail digest. Workers read this, so no numpy here;
``seen_sections`` makes the section. A feed whose entries all arrived together has none: its record says it all.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple

from blocklistd.index.names import SortedDigests, SortedTexts
from blocklistd.index.starts import finder4

if TYPE_CHECKING:
    from blocklistd.index.layout import Section

ON_LIST: Final = 0xFFFFFFFF
"""As a time of last seen: still on the list, so it is that of the list's last confirmation, ``fetched_at``."""
LOW64: Final = 2**64 - 1


class Sighted(NamedTuple):
    """Unix seconds. last: ``ON_LIST`` unless the list itself gave a time or the entry has left it.

    current: False where the entry has left the list and still counts because of the feed's ``keep``.
    """

    first: int
    last: int
    current: bool


class Seen:
    """The times of one feed: disjoint stretches of address space, or names."""

    __slots__ = ("_arrays", "_find4", "_section", "_times4")

    def __init__(self, section: Section) -> None:
        self._section = section
        self._arrays = arrays = section.arrays
        self._find4 = finder4(arrays["v4_start"]) if "v4_start" in arrays else None
        names = ("v4_end", "v4_first", "v4_last", "v4_kept")
        self._times4 = tuple(arrays[name] for name in names) if self._find4 is not None else ()

    def at(self, family: int, value: int) -> Sighted | None:
        """What is known of an address; None where the feed does not name it."""
        if family == 4:
            if self._find4 is None or (index := self._find4(value)) < 0:
                return None
            ends, firsts, lasts, kept = self._times4
            return Sighted(firsts[index], lasts[index], not kept[index]) if ends[index] >= value else None
        index = self._find(family, value)
        if index < 0:
            return None
        arrays = self._arrays
        return Sighted(arrays["v6_first"][index], arrays["v6_last"][index], not arrays["v6_kept"][index])

    def stretch(self, family: int, value: int) -> tuple[int, int]:
        """First and last address of the stretch around an address. Raises LookupError where the feed has none."""
        index = self._find(family, value)
        if index < 0:
            raise LookupError("the feed does not name this address")
        arrays = self._arrays
        if family == 4:
            return arrays["v4_start"][index], arrays["v4_end"][index]
        low = arrays["v6_start_high"][index] << 64 | arrays["v6_start_low"][index]
        return low, arrays["v6_end_high"][index] << 64 | arrays["v6_end_low"][index]

    def domain(self, name: str) -> Sighted | None:
        """What is known of a name just as the list wrote it (``*.`` and all)."""
        if "name_offsets" not in self._arrays:
            return None
        return self._name(SortedTexts(self._section).find(name.encode(errors="replace")))

    def mail(self, digest: bytes) -> Sighted | None:
        """What is known of a mail address by its keyed digest."""
        if "digests" not in self._arrays:
            return None
        return self._name(SortedDigests(self._section).find(digest))

    def _name(self, index: int) -> Sighted | None:
        if index < 0:
            return None
        arrays = self._arrays
        return Sighted(arrays["name_first"][index], arrays["name_last"][index], not arrays["name_kept"][index])

    def _find(self, family: int, value: int) -> int:
        """The number of the stretch that holds an address, -1 if none does."""
        arrays = self._arrays
        if family == 4:
            index = -1 if self._find4 is None else self._find4(value)
            return index if index >= 0 and arrays["v4_end"][index] >= value else -1
        if "v6_start_high" not in arrays:
            return -1
        high, column = value >> 64, arrays["v6_start_high"]
        after = bisect_right(column, high)
        before = bisect_left(column, high, 0, after)
        index = bisect_right(arrays["v6_start_low"], value & LOW64, before, after) - 1
        end = arrays["v6_end_high"][index] << 64 | arrays["v6_end_low"][index] if index >= 0 else -1
        return index if end >= value else -1
