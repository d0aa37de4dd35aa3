"""Lifetime of the daemon: signals, workers, watchdog, and the refresher in the background.

Takes settings, sockets and workers already started, gives an exit status. SIGTERM and SIGINT drain (a second SIGINT
ends at once), SIGHUP reads policy and catalogue again. systemd hears READY when every worker answers, and its watchdog
is fed only while they all do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from blocklistd.daemon.logs import set_up_logging
from blocklistd.daemon.notify import Notifier
from blocklistd.daemon.sockets import close_sockets, describe
from blocklistd.daemon.workers import Workers
from blocklistd.metrics import Counters
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from blocklistd.daemon.launch import Ground, Started
    from blocklistd.daemon.policy import RunningPolicy
    from blocklistd.daemon.refresher import Refresher
    from blocklistd.daemon.workers import Worker
    from blocklistd.settings import Settings

logger = logging.getLogger(__name__)

BEAT: Final = 5.0
"""Seconds between two pings; less where the watchdog is more impatient."""


def supervise(settings: Settings, ground: Ground, first: list[Started]) -> int:
    """Run until told to stop; the exit status. Raises UsageError if policy or catalogue is wrong at the start."""
    set_up_logging(settings.log_level, settings.log_format)
    return asyncio.run(Supervisor(settings, ground, first).run())


class Supervisor:
    """One daemon."""

    def __init__(self, settings: Settings, ground: Ground, first: list[Started]) -> None:
        self._settings = settings
        self._ground = ground
        self._row = Counters(ground.counters, ground.rows).row(0)
        self._workers = Workers(ground, first, self._row, self._on_message)
        self._notifier = Notifier(os.environ)
        self._refresher: Refresher | None = None
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._snapshot: str | None = None
        self._interactive = sys.stderr.isatty()

    async def run(self) -> int:
        """From workers on their way to the last one gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        listening = ", ".join(describe(listener) for listener in self._ground.sockets)
        logger.info("blocklistd %s, %s, data in %s", VERSION, self._workers_text(), self._settings.data)
        keeping = asyncio.create_task(self._workers.run())
        background: list[asyncio.Task[None]] = []
        try:
            policy = await self._make_policy()
            if not self._settings.no_refresh:
                self._refresher = await self._make_refresher()
                policy.warn_of(self._refresher.feeds)
            if await self._wait_ready(keeping):
                logger.info("answering on %s: %s", listening, self._snapshot_text())
                self._notifier.ready(f"Answering on {listening}: {self._snapshot_text()}")
                follow = self._follow_reloads(policy, listening)
                background += [asyncio.create_task(work) for work in (self._beat(), follow)]
                if self._refresher is not None:
                    background.append(asyncio.create_task(self._refresher.run()))
                await self._wait_end(keeping, background)
        finally:
            self._notifier.stopping()
            self._workers.stop(self._settings.drain)
            close_sockets(self._ground.sockets)  # else new connections would wait for somebody who never comes
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            answered = await keeping
        if not answered:
            logger.error("no worker could be brought to answer; the lines above say why")
            return 1
        logger.info("stopped")
        return 0

    async def _make_policy(self) -> RunningPolicy:
        """Read what workers judge by, while they load what answers. Raises UsageError."""
        from blocklistd.daemon.policy import RunningPolicy

        policy = RunningPolicy(self._settings.policy, self._workers)
        await policy.start()
        return policy

    async def _make_refresher(self) -> Refresher:
        """Load what refreshing needs, while the workers already answer. Raises UsageError."""
        from blocklistd.daemon.catalogue import read_running
        from blocklistd.daemon.refresher import Refresher

        running = await asyncio.to_thread(read_running, self._settings)
        return Refresher(self._settings, self._ground.environment, running, self._workers, self._row)

    async def _wait_ready(self, keeping: asyncio.Task[bool]) -> bool:
        """True when all workers answer, False when the daemon is to stop before that."""
        ready, stop = asyncio.create_task(self._workers.ready()), asyncio.create_task(self._stop.wait())
        await asyncio.wait({ready, stop, keeping}, return_when=asyncio.FIRST_COMPLETED)
        answering = ready.done() and not stop.done()
        ready.cancel()
        stop.cancel()
        return answering

    async def _wait_end(self, keeping: asyncio.Task[bool], background: list[asyncio.Task[None]]) -> None:
        """Wait for a signal; background work never ends by itself, so its end is a mistake worth stopping for."""
        stop = asyncio.create_task(self._stop.wait())
        done, _ = await asyncio.wait({stop, keeping, *background}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        for task in background:
            if task in done:
                task.result()

    async def _beat(self) -> None:
        """Ask the workers for signs of life, and pass them on to systemd."""
        pause = min(BEAT, self._notifier.watchdog / 3) if self._notifier.watchdog else BEAT
        while True:
            if self._workers.ping():
                self._notifier.alive()
            await asyncio.sleep(pause)

    async def _follow_reloads(self, policy: RunningPolicy, listening: str) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            if self._interactive and not sys.stderr.isatty():
                logger.info("the terminal is gone")
                self._on_stop(signal.SIGTERM)
                continue
            self._notifier.reloading()
            await policy.reload()
            if self._refresher is not None:
                await self._refresher.reload()
                policy.warn_of(self._refresher.feeds)
            self._notifier.ready(f"Answering on {listening}: {self._snapshot_text()}")

    def _on_stop(self, number: int) -> None:
        if self._stop.is_set():
            if number == signal.SIGINT:  # a second Ctrl-C; process managers may well send SIGTERM twice
                logger.warning("told to stop again: ending at once")
                self._workers.kill()
            return
        logger.info("stopping: requests under way may take %d s", self._settings.drain)
        self._stop.set()

    def _on_message(self, worker: Worker, message: dict[str, Any]) -> None:
        if "wish" in message and worker.channel is not None:
            status, sentence = self._answer_wish()
            worker.channel.send(reply=message["wish"], status=status, sentence=sentence)
        snapshot = message.get("ready") or message.get("snapshot")
        if isinstance(snapshot, str) and snapshot != self._snapshot:
            if "snapshot" in message:
                logger.info("answering from snapshot %s", snapshot)
            self._snapshot = snapshot

    def _answer_wish(self) -> tuple[int, str]:
        if self._settings.no_refresh:
            return 409, "This daemon only answers (--no-refresh); run blocklistd refresh instead."
        if self._refresher is None:
            return 503, "The daemon is still starting; ask again in a moment."
        return 202, self._refresher.wish()

    def _snapshot_text(self) -> str:
        if self._snapshot is not None:
            return f"snapshot {self._snapshot}"
        return "no snapshot yet, so 503 until a refresh has published one"

    def _workers_text(self) -> str:
        count = len(self._workers.all)
        return f"{count} worker{'s' if count > 1 else ''}"
