"""What the supervisor tells the workers: how the last refresh, and reading the catalogue and the policy, went.

Takes the JSON objects of the control channel, gives frozen values; a missing or odd field becomes its empty value, so
that a report from a child process can never break a worker. Light: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from blocklistd.catalogue import Feed

BAD_STATES: Final = frozenset({"failed", "refused", "quarantined"})
NOT_ASKED: Final = "not due"


@dataclass(frozen=True, slots=True)
class FeedOutcome:
    """One feed in the report of a refresh."""

    feed: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class RefreshNotice:
    """How a refresh ended; times are unix seconds. ``error`` is empty when it succeeded as a whole."""

    started: float = 0.0
    finished: float = 0.0
    snapshot: str | None = None
    published: bool = False
    error: str = ""
    feeds: tuple[FeedOutcome, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def result(self) -> str:
        """``ok``, ``no_feed`` where every feed that was asked failed, ``failed``."""
        if self.error:
            return "failed"
        asked = [outcome.state for outcome in self.feeds if outcome.state != NOT_ASKED]
        return "no_feed" if asked and BAD_STATES.issuperset(asked) else "ok"

    @property
    def failed_as_a_whole(self) -> bool:
        """Whether something else than the feeds it asked is to blame; of those each has its own backoff."""
        asked = [outcome.state for outcome in self.feeds if outcome.state != NOT_ASKED]
        return bool(self.error) and not (asked and BAD_STATES.issuperset(asked))

    @classmethod
    def from_document(cls, document: object) -> RefreshNotice:
        """Read what ``refresh --json`` prints."""
        if not isinstance(document, dict):
            return cls(error="the refresh gave no report")
        rows, notes = document.get("feeds"), document.get("notes")
        snapshot = document.get("snapshot")
        return cls(
            started=_moment(document.get("started")),
            finished=_moment(document.get("finished")),
            snapshot=snapshot if isinstance(snapshot, str) else None,
            published=document.get("published") is True,
            error=str(document.get("error") or ""),
            feeds=tuple(_outcome(row) for row in rows if isinstance(row, dict)) if isinstance(rows, list) else (),
            notes=tuple(map(str, notes)) if isinstance(notes, list) else (),
        )


@dataclass(frozen=True, slots=True)
class CatalogueFeed:
    """What a catalogue says of a feed, for as long as no snapshot holds it."""

    id: str
    title: str = ""
    kind: str = "ip"
    category: str | None = None
    provider: str | None = None
    weight: int | None = None
    group: str | None = None
    terms: str | None = None
    homepage: str | None = None

    @classmethod
    def of(cls, feed: Feed) -> CatalogueFeed:
        """From the catalogue's own value."""
        return cls(**{described.name: getattr(feed, described.name) for described in fields(cls)})


@dataclass(frozen=True, slots=True)
class CatalogueNotice:
    """How the catalogue was read the last time; ``feeds`` are those that the running one has switched on."""

    read_at: float = 0.0
    problem: str = ""
    feeds: tuple[CatalogueFeed, ...] = ()

    @classmethod
    def from_document(cls, document: Any) -> CatalogueNotice:
        """Read what the supervisor sends; raises KeyError or TypeError for anything else."""
        feeds = tuple(CatalogueFeed(**row) for row in document["feeds"])
        return cls(float(document["read_at"]), str(document["problem"]), feeds)


@dataclass(frozen=True, slots=True)
class PolicyNotice:
    """How the policy was read the last time."""

    read_at: float = 0.0
    problem: str = ""

    @classmethod
    def from_document(cls, document: Any) -> PolicyNotice:
        """Read what the supervisor sends; raises KeyError or TypeError for anything else."""
        return cls(float(document["read_at"]), str(document["problem"]))


@dataclass(slots=True)
class Notices:
    """The newest of each; None before the first."""

    refresh: RefreshNotice | None = None
    catalogue: CatalogueNotice | None = None
    policy: PolicyNotice | None = None
    refreshing: bool = field(default=False)


def _outcome(row: dict[str, Any]) -> FeedOutcome:
    return FeedOutcome(str(row.get("feed", "")), str(row.get("state", "")), str(row.get("reason") or ""))


def _moment(text: object) -> float:
    if not isinstance(text, str):
        return 0.0
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
