"""When a feed may be asked, and what an attempt leaves behind. Pure: clock and chance are the caller's.

Takes a ``Feed``, its ``FeedState`` and the time; ``due`` gives None or a ``NotDue`` that says until when
and why. ``started``, ``succeeded``, ``doubted`` and ``failed`` give the state that follows. The rules, strongest first:

    floor         at least so long after the last *attempt*, whatever is asked and however often we restart; an attempt
                  that reached nobody (no network) is none, and a mirror is not the provider
    Retry-After   until the moment the server named, at most ``LONGEST_RETRY_AFTER``; also when forced
    forced        then nothing else counts
    new URLs      due at once; floor and Retry-After hold only where a host is still the same
    killed        an attempt that never came to an end is made again
    failures      exponential backoff
    schedule      ``feed.every`` after the end of the last attempt, a little early is on time

A stored moment that lies further ahead than any rule could have put it means that the clock was set back:
it is ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from blocklistd.collect.sources import digest_of, hosts_of, sources
from blocklistd.collect.state import FeedState, NotDue
from blocklistd.units import round_duration

if TYPE_CHECKING:
    from blocklistd.catalogue import Feed, Schedule

LONGEST_RETRY_AFTER: Final = 86400.0
FIRST_BACKOFF: Final = 300.0
LONGEST_BACKOFF: Final = 12 * 3600.0
JITTER: Final = 0.25
"""Up to this share is taken off a backoff, so that feeds that failed together do not return together."""

EARLY_SHARE: Final = 0.05
EARLY_SECONDS: Final = 10.0
"""A timer of the same period fires a little early now and then; skipping that turn would halve the pace."""


def due(feed: Feed, state: FeedState, now: float, *, force: bool = False, mirror: str = "") -> NotDue | None:
    """None if the feed may be asked now, else until when not, and why.

    force: ignore schedule and backoff; floor and Retry-After hold.
    """
    source = sources(feed, mirror)[0]
    urls = source.urls
    same_host = bool(set(hosts_of(urls)) & set(state.hosts)) or not state.hosts
    floor = 0 if source.name == "mirror" else feed.floor  # a promise to the provider, who is not asked here
    if same_host and (waiting := _held_back(floor, state, now)):
        return waiting
    if force or state.source != digest_of(urls) or state.finished_at < state.attempted_at or not state.finished_at:
        return None
    if state.failures:
        until = state.retry_at
        ahead = until > now + max(feed.every.period, LONGEST_BACKOFF)
        times = "once" if state.failures == 1 else f"{state.failures} times in a row"
        return None if until <= now or ahead else NotDue(until, f"failed {times}")
    until = _next_turn(feed.every, state.finished_at)
    if until <= now or state.finished_at > now:
        return None
    return NotDue(until, f"fetched {round_duration(now - state.finished_at)} ago, every {feed.every}")


def _held_back(floor: int, state: FeedState, now: float) -> NotDue | None:
    until = state.attempted_at + floor
    if now < until and state.attempted_at <= now + floor:
        return NotDue(until, f"never asked more often than every {round_duration(floor)}")
    if now < state.not_before <= now + LONGEST_RETRY_AFTER:
        return NotDue(state.not_before, "the server asked to wait (Retry-After)")
    return None


def _next_turn(every: Schedule, finished: float) -> float:
    """From when the next turn counts as due."""
    if every.cron:  # a turn taken a little early is that turn, so the next one is looked for behind it
        return every.next_after(finished + EARLY_SECONDS) - EARLY_SECONDS
    early = min(max(EARLY_SHARE * every.interval, EARLY_SECONDS), every.interval / 2)
    return finished + every.interval - early


def backoff(failures: int, period: float, draw: float) -> float:
    """Seconds to wait after so many failures in a row.

    The smaller of the feed's period and 5 minutes, doubled with each further failure up to the larger of
    period and 12 hours, less up to a quarter of it as ``draw`` (0 to 1) says.
    """
    longest = max(period, LONGEST_BACKOFF)
    doubled = min(period, FIRST_BACKOFF) * 2.0 ** min(max(failures, 1) - 1, 60)
    return min(longest, doubled) * (1 - JITTER * draw)


def started(feed: Feed, state: FeedState, now: float, *, mirror: str = "") -> FeedState:
    """The state to write before the first byte is asked for: the floor counts from here."""
    urls = sources(feed, mirror)[0].urls
    source = digest_of(urls)
    if source != state.source:  # past failures and requests to wait were about other URLs
        state = replace(state, failures=0, retry_at=0.0, not_before=0.0)
    return replace(state, source=source, hosts=hosts_of(urls), attempted_at=now)


def succeeded(
    state: FeedState,
    now: float,
    *,
    changed: bool,
    size: int = 0,
    seconds: float = 0.0,
    note: str = "",
    retry_after: float | None = None,
) -> FeedState:
    """The state after a good fetch; its parts are named by ``store.commit``."""
    return replace(
        state,
        finished_at=max(now, state.attempted_at),
        succeeded_at=now,
        changed_at=now if changed else state.changed_at,
        confirmed_at=state.succeeded_at if changed else state.confirmed_at,
        failures=0,
        not_before=_wait_until(now, retry_after),
        retry_at=0.0,
        outcome="updated" if changed else "unchanged",
        reason=note,
        bytes=size,
        seconds=seconds,
    )


def doubted(
    state: FeedState,
    now: float,
    reason: str,
    *,
    outcome: Literal["quarantined", "refused"] = "quarantined",
    size: int = 0,
    seconds: float = 0.0,
    retry_after: float | None = None,
) -> FeedState:
    """The state after a good fetch of a body that is not believed, or not wanted by the operator.

    The provider did its part: it is asked again at its usual pace, but the last good version gets no younger.
    """
    return replace(
        state,
        finished_at=max(now, state.attempted_at),
        failures=0,
        not_before=_wait_until(now, retry_after),
        retry_at=0.0,
        outcome=outcome,
        reason=reason,
        bytes=size,
        seconds=seconds,
    )


def failed(
    feed: Feed,
    state: FeedState,
    now: float,
    reason: str,
    *,
    draw: float,
    outcome: Literal["failed", "refused"] = "failed",
    retry_after: float | None = None,
    size: int = 0,
    seconds: float = 0.0,
    unasked: FeedState | None = None,
) -> FeedState:
    """The state after a fetch that failed or whose body was refused; the last good one stays.

    draw: a random number from 0 to 1. unasked: the state before the attempt, where nobody was reached: the floor does
    not count from such an attempt.
    """
    if unasked is not None:
        state = replace(state, attempted_at=unasked.attempted_at)
    failures = state.failures + 1
    return replace(
        state,
        finished_at=max(now, state.attempted_at),
        failures=failures,
        not_before=_wait_until(now, retry_after),
        retry_at=now + backoff(failures, feed.every.period, draw),
        outcome=outcome,
        reason=reason,
        bytes=size,
        seconds=seconds,
    )


def _wait_until(now: float, retry_after: float | None) -> float:
    return 0.0 if retry_after is None else now + min(max(retry_after, 0.0), LONGEST_RETRY_AFTER)
