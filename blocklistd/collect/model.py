"""The frozen types of the way in: Feed → Fetched → Rows → ParsedFeed → Accepted | Refused.

Nothing here does any work. Ranges are inclusive on both ends; IPv4 values are uint32, IPv6 values are two uint64
columns (high and low half); times are unix seconds, 0 where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

KEPT_REJECTS: Final = 5
"""So many refused lines are kept with number and text; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Part:
    """The stored body of one URL of a feed, as served (still packed), with its validators."""

    url: str
    path: Path
    size: int
    """Bytes on the wire."""
    digest: str
    """SHA-256 in hexadecimal."""
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """New bytes arrived; they are a candidate until the feed is vetted."""

    parts: tuple[Part, ...]
    size: int
    """Bytes transferred, all parts."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Every part answered 304, or with the very bytes already held."""

    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No usable answer; ``reason`` is a sentence part such as ``HTTP 503`` or ``timed out after 60 s``."""

    reason: str
    retry_after: float | None = None
    """Seconds the server asked to be left alone."""


@dataclass(frozen=True, slots=True)
class NotDue:
    """Nothing was asked: ``until`` is the unix time from which it may be, ``reason`` says why."""

    until: float
    reason: str


FetchOutcome = Fetched | NotModified | FetchFailed | NotDue


@dataclass(frozen=True, slots=True)
class Reject:
    """A line or record that gave nothing: its 1-based number, the start of its text, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Networks:
    """The entries of one family as the list wrote them: unmerged, sorted by first and then widest first, unique.

    first, last: uint32 for IPv4; for IPv6 arrays of shape (n, 2) uint64, high half first.
    columns: per-entry values of the same length: ``first_seen``, ``last_seen`` (uint32 unix time), ``count``
    (uint32), ``provider``, ``name``, ``country``, ``asn`` (uint32; the texts are indices into ``texts``, 0 is none).
    A column exists only where the feed gave it.
    """

    family: int
    first: NDArray[np.uint32] | NDArray[np.uint64]
    last: NDArray[np.uint32] | NDArray[np.uint64]
    columns: Mapping[str, NDArray[np.uint32]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.first)


def no_networks(family: int) -> Networks:
    """An empty set of entries."""
    if family == 4:
        return Networks(4, np.empty(0, np.uint32), np.empty(0, np.uint32))
    return Networks(6, np.empty((0, 2), np.uint64), np.empty((0, 2), np.uint64))


@dataclass(frozen=True, slots=True)
class Counts:
    """What parsing met, line by line or record by record."""

    entries: int = 0
    """Accepted entries, duplicates included: what a person counting data lines would say."""
    unique: int = 0
    """Distinct entries."""
    rejected: int = 0
    """Lines or records that should have been an entry and were none."""
    below_minimum: int = 0
    """Left out by ``min_count``."""
    wide: int = 0
    """Refused as too wide (also counted in ``rejected``)."""
    masked: int = 0
    """Accepted with host bits cleared."""
    special: int = 0
    """Accepted entries that touch special-use space."""


@dataclass(frozen=True, slots=True)
class ParsedFeed:
    """Everything one version of a feed says, whatever its format was.

    Only what belongs to the feed's kind is filled: v4 and v6 for ip and both tables, asns for asn, domains for
    domain (``*.name`` stands for the name and everything below), emails (as written, lower case) for email.
    """

    feed_id: str
    counts: Counts
    rejects: tuple[Reject, ...] = ()
    v4: Networks = field(default_factory=lambda: no_networks(4))
    v6: Networks = field(default_factory=lambda: no_networks(6))
    texts: tuple[str, ...] = ("",)
    """What the text columns point into; index 0 is the empty text."""
    asns: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    domains: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    declared: int | None = None
    """How many entries the list says it holds, where it does (the metadata record of Spamhaus)."""
    dated: float | None = None
    """The date the list itself bears (unix time), where it does."""
    opening: str = ""
    """The first characters of the unpacked body, for vetting and for the reason of a refusal."""
    size: int = 0
    """Unpacked bytes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """This version of the feed must not be used: ``reason`` names why in words for the operator."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """Vetting passed."""


Verdict = Accepted | Refused
