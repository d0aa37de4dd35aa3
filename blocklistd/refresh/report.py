"""What a refresh did, feed by feed; printed as a table, kept by the daemon, served under /v1/feeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from blocklistd.units import format_moment

State = Literal["updated", "unchanged", "not due", "failed", "refused", "quarantined"]


@dataclass(frozen=True, slots=True)
class FeedResult:
    """One feed in one refresh.

    entries: distinct entries that are now in force; change: by how many they grew or shrank; bytes: transferred;
    reason: why it failed, was refused, is in quarantine or not due, empty otherwise.
    """

    feed: str
    state: State
    entries: int
    change: int
    bytes: int
    seconds: float
    reason: str = ""

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "feed": self.feed,
            "state": self.state,
            "entries": self.entries,
            "change": self.change,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """One refresh. Times are unix seconds; snapshot: the id in force afterwards, None if there is none.

    notes: what the operator should know of the pass as a whole: why nothing was published, trouble with the history.
    """

    started: float
    finished: float
    snapshot: str | None
    published: bool
    feeds: tuple[FeedResult, ...]
    error: str | None = None
    notes: tuple[str, ...] = ()

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "started": format_moment(self.started),
            "finished": format_moment(self.finished),
            "snapshot": self.snapshot,
            "published": self.published,
            "error": self.error,
            "notes": list(self.notes),
            "feeds": [result.as_document() for result in self.feeds],
        }
