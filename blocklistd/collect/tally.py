"""From rows to entries: accepts or refuses each row of a feed and counts what it met.

One ``Tally`` takes all rows of all parts of a feed and gives the finished columns once. It holds arrays, never a Python
object an entry, where a feed lists addresses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.addresses import networks_of
from blocklistd.collect import names
from blocklistd.collect.formats.rows import Plain, reject
from blocklistd.collect.merge import Column, make_networks
from blocklistd.collect.model import KEPT_REJECTS, Counts, Networks, no_networks
from blocklistd.collect.ranges import (
    Ranges,
    is_wide4,
    is_wide6,
    read_pairs,
    read_tokens,
    touches_special4,
    touches_special6,
)
from blocklistd.collect.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from blocklistd.catalogue.feed import Feed
    from blocklistd.collect.formats.rows import Rows
    from blocklistd.collect.model import Reject

TEXT_ROLES: Final = ("provider", "name", "country")
NUMBER_ROLES: Final[dict[str, Callable[[str], int]]] = {
    "asn": lambda text: names.read_asn(text) or 0,
    "count": names.read_count,
    "first_seen": names.read_time,
    "last_seen": names.read_time,
}
LONGEST_TEXT: Final = 200
"""A provider or organisation name is cut here."""

_NO_ADDRESS: Final = "is no address or network"
_WIDE: Final = "is too wide"


class _Memo(dict[str, int]):
    """Remembers what a cell reads as: cells repeat."""

    def __init__(self, read: Callable[[str], int]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> int:
        value = self[text] = self._read(text)
        return value


class _Texts:
    """Numbers texts in the order of their appearance; 0 is the empty text. None holds a NUL: sections join on it."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        return self.numbers.setdefault(plain(text[:LONGEST_TEXT]), len(self.numbers))


class Tally:
    """Collects the entries of one feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._texts = _Texts()
        self._memos = {role: _Memo(read) for role, read in NUMBER_ROLES.items()}
        self._memos |= {role: _Memo(self._texts.number) for role in TEXT_ROLES if role != "country"}
        self._memos["country"] = _Memo(lambda text: self._texts.number(names.read_country(text)))
        self._chunks: dict[int, list[tuple[NDArray[Any], NDArray[Any], dict[str, Column]]]] = {4: [], 6: []}
        self.words: set[str] = set()
        self.asns: set[int] = set()
        self.rejects: list[Reject] = []
        self.entries = self.rejected = self.below_minimum = self.wide = self.masked = self.special = 0

    @property
    def texts(self) -> tuple[str, ...]:
        """What the text columns point into."""
        return tuple(self._texts.numbers)

    def add(self, rows: Rows) -> None:
        """Take one chunk."""
        kept = list(rows.rejects[:KEPT_REJECTS])
        self.rejected += len(rows.rejects)
        if rows.plain is not None:
            kept += self._add_plain(rows.plain)
        if rows.numbers:
            if self._feed.kind in {"domain", "email", "asn"}:
                kept += self._add_words(rows)
            else:
                kept += self._add_ranges(rows)
        room = KEPT_REJECTS - len(self.rejects)
        if room > 0 and kept:
            self.rejects += sorted(kept, key=lambda refused: refused.line)[:room]

    def networks(self, family: int) -> Networks:
        """All accepted entries of a family, sorted and unique."""
        chunks = self._chunks[family]
        return make_networks(family, chunks) if chunks else no_networks(family)

    def counts(self, unique: int) -> Counts:
        """What was met, given how many distinct entries there are."""
        return Counts(
            entries=self.entries,
            unique=unique,
            rejected=self.rejected,
            below_minimum=self.below_minimum,
            wide=self.wide,
            masked=self.masked,
            special=self.special,
        )

    def _add_plain(self, plain: Plain) -> list[Reject]:
        wide = self._too_wide(4, plain.first, plain.last)
        kept: list[Reject] = []
        if wide.any():
            rows = np.flatnonzero(wide)
            self.wide += len(rows)
            self.rejected += len(rows)
            kept = [
                reject(int(plain.numbers[row]), networks_of(4, int(plain.first[row]), int(plain.last[row]))[0], _WIDE)
                for row in rows[:KEPT_REJECTS]
            ]
            plain = Plain(plain.numbers[~wide], plain.first[~wide], plain.last[~wide], plain.masked[~wide])
        self._accept(4, plain.first, plain.last, plain.masked, {})
        return kept

    def _add_ranges(self, rows: Rows) -> list[Reject]:
        found = self._locate(rows)
        columns = self._columns(rows)
        reasons: dict[int, str] = {}
        four, six = found.family == 4, found.family == 6
        for row in np.flatnonzero(found.family == 0).tolist():
            reasons[row] = _NO_ADDRESS
        for family, mine, low in ((4, four, 1), (6, six, 0)):
            where = np.flatnonzero(mine)
            first, last = found.first[where, low:], found.last[where, low:]
            if family == 4:
                first, last = first[:, 0].astype(np.uint32), last[:, 0].astype(np.uint32)
            wide = self._too_wide(family, first, last)
            for row in where[wide].tolist():
                reasons[row] = _WIDE
            self.wide += int(wide.sum())
            good = ~wide
            good &= self._has_what_tables_need(columns, where, reasons)
            if self._feed.min_count and "count" in columns:
                enough = columns["count"][where] >= self._feed.min_count
                self.below_minimum += int((good & ~enough).sum())
                good &= enough
            taken = where[good]
            self._accept(
                family,
                first[good],
                last[good],
                found.masked[taken],
                {role: column[taken] for role, column in columns.items()},
            )
        if rows.heading:
            reasons.pop(0, None)
        self.rejected += len(reasons)
        return [reject(rows.numbers[row], rows.texts[row], reasons[row]) for row in sorted(reasons)[:KEPT_REJECTS]]

    def _locate(self, rows: Rows) -> Ranges:
        """The range of each row: ``address`` or ``network``, whichever is given, else ``first`` and ``last``."""
        columns = rows.columns
        tokens: Sequence[str] | None = None
        if "address" in columns and "network" in columns:
            tokens = [one or other for one, other in zip(columns["address"], columns["network"], strict=True)]
        elif "address" in columns or "network" in columns:
            tokens = columns["address"] if "address" in columns else columns["network"]
        return read_pairs(columns["first"], columns["last"]) if tokens is None else read_tokens(tokens)

    def _columns(self, rows: Rows) -> dict[str, Column]:
        return {role: self._column(role, texts) for role, texts in rows.columns.items() if role in self._memos}

    def _column(self, role: str, texts: Sequence[str]) -> Column:
        if role == "asn" and (joined := "".join(texts)).isascii() and joined.isdigit() and "" not in texts:
            numbers = [number if number <= names.MAX_ASN else 0 for number in map(int, texts)]
            return np.array(numbers, np.uint32)
        return np.fromiter(map(self._memos[role].__getitem__, texts), np.uint32, len(texts))

    def _has_what_tables_need(
        self, columns: dict[str, Column], where: NDArray[np.int64], reasons: dict[int, str]
    ) -> NDArray[np.bool_]:
        role = {"asn_table": "asn", "country_table": "country"}.get(self._feed.kind)
        if role is None:
            return np.ones(len(where), np.bool_)
        known: NDArray[np.bool_] = columns[role][where] > 0
        for row in where[~known].tolist():
            reasons[row] = "has no AS number" if role == "asn" else "has no country code"
        return known

    def _too_wide(self, family: int, first: NDArray[Any], last: NDArray[Any]) -> NDArray[np.bool_]:
        wide = is_wide4(first, last) if family == 4 else is_wide6(first, last)
        if self._feed.wide_allowed and wide.any():
            whole = last - first == 2**32 - 1 if family == 4 else (last - first == 2**64 - 1).all(axis=1)
            wide &= whole
        return wide

    def _accept(
        self,
        family: int,
        first: NDArray[Any],
        last: NDArray[Any],
        masked: NDArray[np.bool_],
        columns: dict[str, Column],
    ) -> None:
        if not len(first):
            return
        self.entries += len(first)
        self.masked += int(masked.sum())
        touches = touches_special4(first, last) if family == 4 else touches_special6(first, last)
        self.special += int(touches.sum())
        self._chunks[family].append((first, last, columns))

    def _add_words(self, rows: Rows) -> list[Reject]:
        kept: list[Reject] = []
        counts = rows.columns.get("count") if self._feed.min_count else None
        for row, text in enumerate(rows.columns[self._feed.kind]):
            value, reason = self._word(text)
            if value is None:
                if row or not rows.heading:
                    self.rejected += 1
                    if len(kept) < KEPT_REJECTS:
                        kept.append(reject(rows.numbers[row], rows.texts[row], reason))
            elif counts is not None and names.read_count(counts[row]) < self._feed.min_count:
                self.below_minimum += 1
            else:
                self.entries += 1
                if isinstance(value, int):
                    self.asns.add(value)
                else:
                    self.words.add(value)
        return kept

    def _word(self, text: str) -> tuple[str | int | None, str]:
        if self._feed.kind == "domain":
            return names.read_domain(text, subdomains=self._feed.subdomains), "is no domain"
        if self._feed.kind == "email":
            return names.read_email(text), "is no e-mail address"
        return names.read_asn(text), "is no AS number"
