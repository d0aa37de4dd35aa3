"""The samples behind /metrics: the shared counters, the snapshot in use, each feed, the last refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

from blocklistd import metrics
from blocklistd.collect.state import Outcome
from blocklistd.metrics import Sample, exposition
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blocklistd.web.feeds import FeedStatus
    from blocklistd.web.service import Service

STATES: Final[tuple[str, ...]] = get_args(Outcome)


def exposition_of(service: Service, feeds: Sequence[FeedStatus], accept: str, now: float) -> tuple[bytes, str]:
    """Body and content type of /metrics; any worker gives the counters of all."""
    return exposition(samples(service, feeds, now), accept)


def samples(service: Service, feeds: Sequence[FeedStatus], now: float) -> Iterator[Sample]:
    """Everything there is to say, counters first."""
    yield from service.counters.samples()
    yield Sample(metrics.BUILD, (VERSION,), 1)
    snapshot = service.cell.snapshot
    yield Sample(metrics.SNAPSHOT_READY, (), snapshot is not None)
    yield Sample(metrics.SNAPSHOT_INTACT, (), not service.cell.problem)
    yield Sample(metrics.SNAPSHOT_PINNED, (), service.state.pin is not None)
    if snapshot is not None:
        yield Sample(metrics.SNAPSHOT_GENERATION, (), snapshot.generation)
        yield Sample(metrics.SNAPSHOT_BUILT, (), snapshot.built_at)
        yield Sample(metrics.SNAPSHOT_AGE, (), now - snapshot.built_at)
    for feed in feeds:
        yield from _feed_samples(feed)
    yield Sample(metrics.STATE_INTACT, (), not service.state.problem)
    yield Sample(metrics.OVERRIDES, (), len(service.state.overrides))
    yield Sample(metrics.KEYS, (), len(service.state.keys or ()))
    refresh, catalogue = service.notices.refresh, service.notices.catalogue
    if refresh is not None:
        yield Sample(metrics.REFRESH_OK, (), refresh.result == "ok")
        yield Sample(metrics.REFRESH_FINISHED, (), refresh.finished)
        yield Sample(metrics.REFRESH_NOTES, (), len(refresh.notes))
        yield Sample(metrics.REFRESH_DURATION, (), max(0.0, refresh.finished - refresh.started))
    if catalogue is not None:
        yield Sample(metrics.CATALOGUE_OK, (), not catalogue.problem)
        yield Sample(metrics.CATALOGUE_TIME, (), catalogue.read_at)
    if (policy := service.notices.policy) is not None:
        yield Sample(metrics.POLICY_OK, (), not policy.problem)
        yield Sample(metrics.POLICY_TIME, (), policy.read_at)


def _feed_samples(feed: FeedStatus) -> Iterator[Sample]:
    labels = (feed.id,)
    yield Sample(metrics.FEED_SUCCESS, labels, feed.succeeded_at)
    if feed.age is not None:
        yield Sample(metrics.FEED_AGE, labels, feed.age)
    if feed.changed_at:
        yield Sample(metrics.FEED_CHANGED, labels, feed.changed_at)
    if feed.dated:
        yield Sample(metrics.FEED_DATED, labels, feed.dated)
    yield Sample(metrics.FEED_ENTRIES, labels, feed.entries)
    yield Sample(metrics.FEED_FAILURES, labels, feed.failures)
    for state in STATES:
        yield Sample(metrics.FEED_STATE, (feed.id, state), state == feed.state)
    yield Sample(metrics.FEED_STALE, labels, feed.stale)
    yield Sample(metrics.FEED_DROPPED, labels, feed.dropped)
    yield Sample(metrics.FEED_QUARANTINED, labels, feed.quarantine is not None)
    yield Sample(metrics.FEED_FROZEN, labels, bool(feed.frozen_since))
