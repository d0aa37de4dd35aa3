"""What is known of each feed, put together from three places.

Takes the records of the snapshot in use, the fetch states on disk and the notices of the supervisor, gives a frozen
``FeedStatus`` for each feed, in catalogue order. The last refresh counts where it could not write its states (full
disk). Pure and light: values and ``now`` in, values out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklistd.units import format_moment
from blocklistd.web.notices import BAD_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklistd.collect.state import FeedState, Held
    from blocklistd.index.record import FeedRecord
    from blocklistd.web.notices import CatalogueFeed, FeedOutcome, Notices


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One feed as the operator sees it; times are unix seconds, 0 is never.

    state: what the last attempt came to: never, updated, unchanged, failed, refused or quarantined; reason: why, where
    it was bad, and which fallback stood in where it was good; entries: distinct ones; lines: those they were read from;
    dated: the date the list itself bears; quarantine: a later body that waits for the operator; frozen_since: since
    when the list says nothing new although it is fetched well.
    """

    id: str
    title: str = ""
    kind: str = "ip"
    category: str | None = None
    provider: str | None = None
    weight: int | None = None
    group: str | None = None
    terms: str | None = None
    homepage: str | None = None
    in_snapshot: bool = False
    state: str = "never"
    reason: str = ""
    entries: int = 0
    lines: int = 0
    rejected: int = 0
    special: int = 0
    masked: int = 0
    wide: int = 0
    below_minimum: int = 0
    rejects: tuple[tuple[int, str, str], ...] = ()
    ranges: int = 0
    age: float | None = None
    attempted_at: float = 0.0
    succeeded_at: float = 0.0
    changed_at: float = 0.0
    dated: float = 0.0
    failures: int = 0
    not_before: float = 0.0
    stale: bool = False
    dropped: bool = False
    quarantine: Held | None = None
    frozen_since: float = 0.0

    @property
    def verdict(self) -> str:
        """What the last vetting said: accepted, refused, quarantined, or none where nothing was ever vetted."""
        if self.state in {"refused", "quarantined"}:
            return self.state
        return "accepted" if self.succeeded_at else "none"

    def as_body(self) -> dict[str, Any]:
        """The JSON object of /v1/feeds."""
        return {
            "id": self.id,
            "title": self.title,
            "kind": self.kind,
            "category": self.category,
            "provider": self.provider,
            "weight": self.weight,
            "group": self.group,
            "terms": self.terms,
            "homepage": self.homepage,
            "state": self.state,
            "reason": self.reason or None,
            "verdict": self.verdict,
            "entries": self.entries,
            "lines": self.lines,
            "rejected": self.rejected,
            "special": self.special,
            "masked": self.masked,
            "wide": self.wide,
            "below_minimum": self.below_minimum,
            "rejects": [{"line": line, "text": text, "reason": reason} for line, text, reason in self.rejects],
            "ranges": self.ranges,
            "age_seconds": None if self.age is None else round(self.age),
            "last_attempt": format_moment(self.attempted_at),
            "last_success": format_moment(self.succeeded_at),
            "last_change": format_moment(self.changed_at),
            "dated": format_moment(self.dated),
            "failures": self.failures,
            "not_before": format_moment(self.not_before),
            "stale": self.stale,
            "dropped": self.dropped,
            "frozen_since": format_moment(self.frozen_since),
            "quarantine": _quarantine_body(self.quarantine) if self.quarantine else None,
            "in_snapshot": self.in_snapshot,
        }


def _quarantine_body(held: Held) -> dict[str, Any]:
    return {
        "check": held.check,
        "reason": held.reason,
        "since": format_moment(held.since),
        "entries": held.entries,
        "digest": held.digest,
    }


def feed_statuses(
    records: Iterable[FeedRecord], states: Mapping[str, FeedState], notices: Notices, now: float
) -> tuple[FeedStatus, ...]:
    """All feeds: those of the snapshot in its order, then those that are switched on but not in it yet.

    Where no catalogue is known, every feed that was ever fetched counts as switched on.
    """
    recorded = {record.id: record for record in records}
    catalogue = notices.catalogue
    running = {feed.id: feed for feed in catalogue.feeds} if catalogue else {}
    report = notices.refresh
    outcomes = {outcome.feed: outcome for outcome in report.feeds} if report else {}
    finished = report.finished if report else 0.0
    ids = [*recorded, *(running if catalogue else [*states, *outcomes])]
    return tuple(
        _status(
            feed_id,
            record=recorded.get(feed_id),
            state=states.get(feed_id),
            running=running.get(feed_id),
            outcome=_newer(outcomes.get(feed_id), finished, states.get(feed_id)),
            now=now,
        )
        for feed_id in dict.fromkeys(ids)
    )


def _newer(outcome: FeedOutcome | None, finished: float, state: FeedState | None) -> FeedOutcome | None:
    """The refresh's word on a feed, where it is bad news that did not get into the stored state."""
    if outcome is None or outcome.state not in BAD_STATES:
        return None
    if state is not None and (state.outcome in BAD_STATES or state.finished_at > finished):
        return None
    return outcome


def _status(
    feed_id: str,
    *,
    record: FeedRecord | None,
    state: FeedState | None,
    running: CatalogueFeed | None,
    outcome: FeedOutcome | None,
    now: float,
) -> FeedStatus:
    succeeded = max(state.succeeded_at if state else 0.0, record.fetched_at if record else 0.0)
    age = now - succeeded if succeeded else None
    last = outcome.state if outcome else state.outcome if state else "never"
    reason = outcome.reason if outcome else state.reason if state else ""
    described = record or running
    return FeedStatus(
        id=feed_id,
        title=described.title if described else "",
        kind=described.kind if described else "ip",
        category=described.category if described else None,
        provider=described.provider if described else None,
        weight=described.weight if described else None,
        group=described.group if described else None,
        terms=described.terms if described else None,
        homepage=described.homepage if described else None,
        in_snapshot=record is not None,
        state=last,
        reason=reason,
        entries=record.unique if record else 0,
        lines=record.entries if record else 0,
        rejected=record.rejected if record else 0,
        special=record.special if record else 0,
        masked=record.masked if record else 0,
        wide=record.wide if record else 0,
        below_minimum=record.below_minimum if record else 0,
        rejects=record.rejects if record else (),
        ranges=record.v4 + record.v6 if record else 0,
        age=age,
        attempted_at=state.attempted_at if state else 0.0,
        succeeded_at=succeeded,
        changed_at=max(state.changed_at if state else 0.0, record.changed_at if record else 0.0),
        dated=record.dated if record else 0.0,
        failures=state.failures if state else 0,
        not_before=state.not_before if state else 0.0,
        stale=bool(record and age is not None and age > record.stale_after),
        dropped=bool(record and age is not None and age > record.drop_after),
        quarantine=state.held if state and state.held and not state.held.rejected else None,
        frozen_since=state.frozen_since if state else 0.0,
    )
