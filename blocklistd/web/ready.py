"""Is what this daemon says worth asking for? Pure: the state of the feeds and a rule in, an answer out.

A snapshot of which no feed counts any more (all older than their ``drop_after``) names nobody and is never ready. The
operator may ask for more: feeds that must be fresh, and a share of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocklistd.web.feeds import FeedStatus


@dataclass(frozen=True, slots=True)
class ReadyRule:
    """feeds: ids of those that must be fresh; share: of all feeds so many must be, 0 to 1."""

    feeds: tuple[str, ...] = ()
    share: float = 0.0


def shortcoming(rule: ReadyRule, feeds: Sequence[FeedStatus]) -> str:
    """Why the daemon is not ready, as a sentence; empty where it is.

    Fresh is a feed that is in the snapshot and younger than its ``stale_after``; one in quarantine too, until then.
    """
    if not any(feed.in_snapshot and not feed.dropped for feed in feeds):
        return "Every feed of the snapshot is older than its drop_after, so it says nothing any more."
    fresh = {feed.id for feed in feeds if is_fresh(feed)}
    known = {feed.id for feed in feeds}
    if missing := [feed if feed in known else f"{feed} (no such feed)" for feed in rule.feeds if feed not in fresh]:
        return f"Not fresh: {', '.join(missing[:10])}; GET /v1/feeds says why."
    if len(fresh) < rule.share * len(feeds):
        return f"Only {len(fresh)} of {len(feeds)} feeds are fresh; GET /v1/feeds says why."
    return ""


def is_fresh(feed: FeedStatus) -> bool:
    """Whether a feed answers, and was confirmed within its ``stale_after``."""
    return feed.in_snapshot and not feed.stale and not feed.dropped
