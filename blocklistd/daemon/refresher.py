"""Brings due marks and wishes together: one refresh at a time, its report to the workers, then the next plan.

A refresh that fails as a whole (lock held by another process, disk full) is tried again after ``FIRST_RETRY``, then
twice as long each time up to ``LONGEST_RETRY``. Where merely all of its feeds failed each has its own backoff, which
the timetable keeps. Whatever happens to a refresh, the daemon goes on answering.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final

from blocklistd.collect.state import read_states
from blocklistd.daemon.catalogue import RunningCatalogue, notice, read_running
from blocklistd.daemon.passes import run_pass
from blocklistd.daemon.schedule import Timetable
from blocklistd.errors import UsageError
from blocklistd.metrics import REFRESHES
from blocklistd.web.notices import RefreshNotice

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from blocklistd.daemon.workers import Workers
    from blocklistd.metrics import Row
    from blocklistd.settings import Settings

logger = logging.getLogger(__name__)

FIRST_RETRY: Final = 30.0
LONGEST_RETRY: Final = 900.0
SHORTEST_PAUSE: Final = 5.0
"""Between the end of one refresh and the start of the next that nobody asked for."""


class Refresher:
    """The background work of the supervisor."""

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], running: RunningCatalogue, workers: Workers, row: Row
    ) -> None:
        self._settings = settings
        self._environment = environment
        self._running = running
        self._workers = workers
        self._row = row
        self._timetable = Timetable(self._mark_due, mirror=settings.mirror)
        self._wake = asyncio.Event()
        self._due: set[str] = set()
        self._wished = False
        self._failures = 0
        self.refreshing = False
        workers.tell(catalogue=notice(running))

    @property
    def feeds(self) -> Collection[str]:
        """The ids of the feeds that are on."""
        return {feed.id for feed in self._running.feeds}

    def _mark_due(self, feed_id: str) -> None:
        self._due.add(feed_id)
        self._wake.set()

    def wish(self) -> str:
        """Refresh as soon as possible, whatever the schedule says; a sentence for who asked."""
        self._wished = True
        self._wake.set()
        return "Another refresh follows the one under way." if self.refreshing else "A refresh begins now."

    async def reload(self) -> None:
        """Read the catalogue again; a bad one is reported and the running one stays."""
        try:
            fresh = await asyncio.to_thread(read_running, self._settings)
        except (UsageError, OSError) as error:
            logger.error("the catalogue was refused, the running one stays: %s", error)  # noqa: TRY400 - user's mistake
            self._workers.tell(catalogue=notice(self._running, refused=error))
            return
        stale, self._running = self._running, fresh
        stale.close()  # a child under way has its own handle
        logger.info("catalogue read again: %d feeds are on", len(fresh.feeds))
        self._workers.tell(catalogue=notice(fresh))
        self._failures = 0
        await self._plan(pause=0.0)

    async def run(self) -> None:
        """Refresh whenever something is due, until cancelled."""
        self._timetable.start()
        try:
            await self._plan(pause=0.0)
            while True:
                await self._wake.wait()
                await asyncio.sleep(0)  # jobs of one moment are marked together
                self._wake.clear()
                forced, due = self._wished, sorted(self._due)
                self._wished = False
                self._due.clear()
                try:
                    await self._refresh(due, forced=forced)
                except Exception:  # a mistake of ours must not end the answering
                    logger.exception("a refresh broke down, the snapshot in use stays")
                    self._failures += 1
                    await asyncio.sleep(pause_after(self._failures))
                    self._wake.set()
        finally:
            self._timetable.stop()

    async def _refresh(self, due: list[str], *, forced: bool) -> None:
        logger.info("refreshing: %s", "asked for" if forced else _named(due))
        self._tell_refreshing(under_way=True)
        try:
            deadline = self._settings.refresh_deadline
            document = await run_pass(self._environment, self._running.handle, deadline, force=forced)
        finally:
            self._tell_refreshing(under_way=False)
        report = RefreshNotice.from_document(document)
        self._row.add(REFRESHES, report.result)
        self._workers.tell(report=document)
        self._failures = self._failures + 1 if report.failed_as_a_whole else 0
        if report.error:
            logger.error("refresh failed, what is in use stays in use: %s", report.error)
        else:
            logger.log(logging.INFO if report.result == "ok" else logging.WARNING, "%s", _summary(report))
        await self._plan(pause=pause_after(self._failures))

    def _tell_refreshing(self, *, under_way: bool) -> None:
        self.refreshing = under_way
        self._workers.tell(refreshing=under_way)

    async def _plan(self, *, pause: float) -> None:
        """Set every feed's next moment, from its stored state, at least ``pause`` seconds from now."""
        states = await asyncio.to_thread(read_states, self._settings.data)
        now = time.time()
        self._timetable.plan(self._running.feeds, states, now, retry=now + pause)


def pause_after(failures: int) -> float:
    """Seconds until the next refresh of its own accord, after so many failed as a whole in a row."""
    return min(LONGEST_RETRY, FIRST_RETRY * 2.0 ** (failures - 1)) if failures else SHORTEST_PAUSE


def _named(due: list[str]) -> str:
    if len(due) <= 5:
        return f"{', '.join(due)} {'is' if len(due) == 1 else 'are'} due"
    return f"{len(due)} feeds are due"


def _summary(report: RefreshNotice) -> str:
    """``refreshed in 9 s: 58 updated, 3 failed; snapshot …``."""
    counts: dict[str, int] = {}
    for feed in report.feeds:
        counts[feed.state] = counts.get(feed.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: -item[1]))
    change = f"snapshot {report.snapshot}" if report.published else "no new snapshot"
    return f"refreshed in {report.finished - report.started:.1f} s: {states or 'nothing was due'}; {change}"
