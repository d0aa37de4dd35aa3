"""The operator's entries in memory: which one applies to an address, and which feeds are taken out.

Takes the entries of ``state.db``, gives the most exact one that is in force: an address, then the longest network, then
the ASN, then the country. An entry falls out the moment it expires, without being told. Not for several threads.
"""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING, Any, Final

from blocklistd.errors import StorageFailed, UsageError
from blocklistd.state import FILE
from blocklistd.state.overrides import Override, OverrideKey, parse_key

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER: Final = float("inf")


class Overrides:
    """All entries of one moment. ``find`` costs half a microsecond, nothing where there are none."""

    def __init__(self, entries: Iterable[Override] = (), clock: Any = time.time) -> None:
        """clock: gives the unix time at which entries expire. Raises StorageFailed for an entry that is none."""
        self._clock = clock
        self._tries: dict[int, Any] = {}
        self._asns: dict[int, Override] = {}
        self._countries: dict[str, Override] = {}
        self._feeds: dict[str, Override] = {}
        self._without: frozenset[str] = frozenset()
        self._ends: list[tuple[float, OverrideKey]] = []
        self._endless = 0
        for entry in entries:
            self._add(entry)
        self._ends.sort(reverse=True)
        self._next_end = self._ends[-1][0] if self._ends else NEVER
        self._without = frozenset(self._feeds)

    @property
    def without(self) -> frozenset[str]:
        """Ids of the feeds that count for nothing."""
        self._expire()
        return self._without

    def find(self, family: int, value: int, asn: int | None = None, country: str | None = None) -> Override | None:
        """The entry that applies to an address, None where none does."""
        if self._next_end is not NEVER:
            self._expire()
        trie = self._tries.get(family)
        if trie is not None:
            found: Override | None = trie.get(value.to_bytes(4 if family == 4 else 16))
            if found is not None:
                return found
        if self._asns and asn is not None and (of_asn := self._asns.get(asn)) is not None:
            return of_asn
        return self._countries.get(country) if self._countries and country is not None else None

    def __len__(self) -> int:
        """How many are in force; may be asked in any thread, since it changes nothing."""
        now: float = self._clock()
        return self._endless + sum(end > now for end, _ in tuple(self._ends))

    def _add(self, entry: Override) -> None:
        try:
            key = parse_key(entry.key)
        except UsageError as error:
            raise StorageFailed(f"{FILE} holds an entry that is none ({error}): remove it from the table") from error
        if key.kind == "network":
            self._trie(key.family).insert(key.first.to_bytes(4 if key.family == 4 else 16), key.length, entry)
        elif key.kind == "asn":
            self._asns[key.number] = entry
        elif key.kind == "country":
            self._countries[key.text] = entry
        else:
            self._feeds[key.text.partition(":")[2]] = entry
        if entry.expires is None:
            self._endless += 1
        else:
            self._ends.append((entry.expires, key))

    def _trie(self, family: int) -> Any:
        if family not in self._tries:
            import pytricia  # a worker without such entries does not load it

            four = family == 4
            self._tries[family] = pytricia.PyTricia(32 if four else 128, socket.AF_INET if four else socket.AF_INET6)
        return self._tries[family]

    def _expire(self) -> None:
        """Drop what has run out, so that the next less exact entry applies."""
        now = self._clock()
        while self._next_end <= now:
            _, key = self._ends.pop()
            if key.kind == "network":
                self._tries[key.family].delete(key.text if "/" in key.text else f"{key.text}/{key.length}")
            elif key.kind == "asn":
                del self._asns[key.number]
            elif key.kind == "country":
                del self._countries[key.text]
            else:
                del self._feeds[key.text.partition(":")[2]]
                self._without = frozenset(self._feeds)
            self._next_end = self._ends[-1][0] if self._ends else NEVER
