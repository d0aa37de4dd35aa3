"""The frozen types of the way in: Feed → Fetched → Rows → ParsedFeed → Accepted | Refused | Quarantined.

Nothing here does any work, but what is said of a refused line or list is safe to print, whoever built the value.
Ranges are inclusive on both ends; IPv4 values are uint32, IPv6 values are two uint64 columns (high and low half);
times are unix seconds, 0 where unknown.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from blocklistd.collect.state import NotDue, Part
from blocklistd.collect.text import printable
from blocklistd.networks import Networks, no_networks

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "KEPT_REJECTS",
    "Accepted",
    "Counts",
    "FetchFailed",
    "Fetched",
    "Networks",
    "NotDue",
    "NotModified",
    "ParsedFeed",
    "Part",
    "Quarantined",
    "Refused",
    "Reject",
    "Verdict",
    "no_networks",
]

KEPT_REJECTS: Final = 5
"""So many refused lines are kept with number and text; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """New bytes arrived; they are a candidate until the feed is vetted."""

    parts: tuple[Part, ...]
    size: int
    """Bytes transferred, all parts."""
    note: str = ""
    """What went wrong on the way although the list came in: a fallback had to stand in."""
    retry_after: float | None = None
    """Seconds a server asked to be left alone, although another place had the list."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """Every part answered 304, or with the very bytes already held; validators may be newer than those stored."""

    parts: tuple[Part, ...]
    size: int = 0
    """Bytes transferred, all parts."""
    note: str = ""
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class FetchFailed:
    """No usable answer; ``reason`` is a sentence part such as ``HTTP 503`` or ``timed out after 60 s``."""

    reason: str
    retry_after: float | None = None
    """Seconds the server asked to be left alone."""
    reached: bool = True
    """Whether any server was reached; if not, nobody was bothered and the feed's floor does not count."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A line or record that gave nothing: its 1-based number, the start of its text, and why.

    Control characters in either are made visible.
    """

    line: int
    text: str
    reason: str

    def __post_init__(self) -> None:
        _make_printable(self, "text", "reason")


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
    """A version of a feed that must not be used: ``reason`` names why in words for the operator.

    Control characters that a list brought into either are made visible.
    """

    reason: str
    detail: str = ""

    def __post_init__(self) -> None:
        _make_printable(self, "reason", "detail")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A version that is a list, but not to be believed before the operator has looked at it.

    check: the name of the one that objected; reason: why, in words for the operator, printable as in ``Refused``.
    """

    check: str
    reason: str

    def __post_init__(self) -> None:
        _make_printable(self, "reason")


@dataclass(frozen=True, slots=True)
class Accepted:
    """Vetting passed."""


Verdict = Accepted | Refused | Quarantined


def _make_printable(value: Reject | Refused | Quarantined, *names: str) -> None:
    for name in names:
        object.__setattr__(value, name, printable(getattr(value, name)))  # the value is frozen, and just being made
