"""When each feed is due: the home of APScheduler.

Takes the running catalogue and the stored fetch states, calls ``mark_due`` with a feed's id when its time has come.
A job fetches nothing itself, and is never lost for being late (no misfire grace) nor run twice for it (coalesced).
Feeds that are overdue are marked at once; the others by their own interval or cron line, a little jitter added, never
taken away: asking early is impolite.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.base import BaseTrigger

from blocklistd.collect.pace import due
from blocklistd.collect.state import FeedState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from blocklistd.catalogue import Feed, Schedule

JITTER_SHARE: Final = 0.05
JITTER_SECONDS: Final = 60.0


class FeedTrigger(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires first at a given moment, then by a feed's own schedule."""

    def __init__(self, every: Schedule, first: float) -> None:
        self.every = every
        self.first = first

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """The next moment; APScheduler calls this."""
        moment = (
            self.first if previous_fire_time is None else self.every.next_after(now.timestamp()) + jitter(self.every)
        )
        return datetime.fromtimestamp(moment, UTC)


def jitter(every: Schedule) -> float:
    """A random part of ``JITTER_SHARE`` of the period, in seconds, at most ``JITTER_SECONDS``."""
    return random.uniform(0, min(JITTER_SHARE * every.period, JITTER_SECONDS))  # noqa: S311 - politeness, no secret


def first_moment(feed: Feed, state: FeedState, now: float, *, retry: float, mirror: str) -> float:
    """When a feed should be marked due next: now where it is overdue, but never before ``retry`` (unix time)."""
    waiting = due(feed, state, now, mirror=mirror)
    return max(retry, now if waiting is None else waiting.until + jitter(feed.every))


class Timetable:
    """A job a feed."""

    def __init__(self, mark_due: Callable[[str], None], *, mirror: str = "") -> None:
        self._mark_due = mark_due
        self._mirror = mirror
        self._scheduler: Any = AsyncIOScheduler(
            timezone=UTC, job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1}
        )

    def start(self) -> None:
        """Begin to call; needs a running loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Call no more."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def plan(self, feeds: Iterable[Feed], states: Mapping[str, FeedState], now: float, *, retry: float = 0.0) -> None:
        """Replace all jobs by these feeds' own.

        retry: nothing is marked before this moment; after a refresh that failed as a whole it lies ahead.
        """
        wanted = {feed.id: feed for feed in feeds}
        for job in self._scheduler.get_jobs():
            if job.id not in wanted:
                job.remove()
        for feed in wanted.values():
            state = states.get(feed.id, FeedState(feed.id))
            moment = first_moment(feed, state, now, retry=retry, mirror=self._mirror)
            self._scheduler.add_job(
                self._fire, FeedTrigger(feed.every, moment), args=[feed.id], id=feed.id, replace_existing=True
            )

    def moments(self) -> dict[str, float]:
        """Feed id → unix time at which it will be marked due."""
        return {
            job.id: job.next_run_time.timestamp() for job in self._scheduler.get_jobs() if job.next_run_time is not None
        }

    async def _fire(self, feed_id: str) -> None:
        """A coroutine, so that it runs on the loop and not in a thread."""
        self._mark_due(feed_id)
