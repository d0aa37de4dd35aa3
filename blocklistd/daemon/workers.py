"""Keeps N worker processes running and passes messages to and from them.

A worker that ends is started again, at once the first time and more slowly if it keeps dying; one that is silent for
``SILENCE`` seconds is killed first. The end of its control channel is the sign that a worker is gone.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

from blocklistd.daemon.control import Channel
from blocklistd.metrics import WORKER_STARTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklistd.daemon.launch import Ground, Started
    from blocklistd.metrics import Row

logger = logging.getLogger(__name__)

SILENCE: Final = 30.0
STEADY: Final = 10.0
"""A worker that lived so long starts afresh with its restart delays."""
LONGEST_DELAY: Final = 5.0
GRACE: Final = 3.0
"""Seconds a worker has to end after the time it was given to finish what is under way."""
VAIN_STARTS: Final = 5
"""So many starts without any worker ever answering, and the daemon gives up."""


class Worker:
    """One place in the row of workers; processes come and go in it."""

    def __init__(self, number: int, started: Started) -> None:
        self.number = number
        self.started = started
        self.channel: Channel | None = None
        self.ready = asyncio.Event()
        self.heard_at = time.monotonic()
        self.starts = 1


class Workers:
    """All of them. ``run`` ends when every worker has ended after ``stop``, or with False when none can start."""

    def __init__(
        self, ground: Ground, first: list[Started], row: Row, on_message: Callable[[Worker, dict[str, Any]], None]
    ) -> None:
        self._ground = ground
        self._row = row
        self._on_message = on_message
        self._told: dict[str, Any] = {}
        self._stopping = asyncio.Event()
        self._vain = asyncio.Event()
        self._patience = 0.0
        self.all = [Worker(number, started) for number, started in enumerate(first, start=1)]
        self._row.add(WORKER_STARTS, count=len(first))

    async def run(self) -> bool:
        """Keep them running; True after ``stop``, False when none of them can be brought to answer."""
        async with asyncio.TaskGroup() as group:
            for worker in self.all:
                group.create_task(self._keep(worker))
        return not self._vain.is_set()

    async def ready(self) -> None:
        """Wait until each has answered once."""
        for worker in self.all:
            await worker.ready.wait()

    def tell(self, **message: Any) -> None:
        """Send to all, and to every worker started later, the newest of each kind."""
        self._told |= message
        for worker in self.all:
            if worker.channel is not None:
                worker.channel.send(**message)

    def ping(self) -> bool:
        """Ask each for a sign of life, kill the silent; True if every running worker was heard of lately."""
        now = time.monotonic()
        running = [worker for worker in self.all if worker.channel is not None]
        for worker in running:
            if now - worker.heard_at > SILENCE:
                logger.error("worker %d has not answered for %d s and is killed", worker.number, SILENCE)
                worker.started.process.kill()
            elif worker.channel is not None:
                worker.channel.send(ping=1)
        return bool(running) and all(now - worker.heard_at <= SILENCE for worker in running)

    def stop(self, patience: float) -> None:
        """Let each finish what is under way, for at most ``patience`` seconds; what hangs is killed soon after."""
        self._patience = patience
        self._stopping.set()
        asyncio.get_running_loop().call_later(patience + GRACE, self._kill_late)
        for worker in self.all:
            if worker.channel is not None:
                worker.channel.send(stop=True)

    def kill(self) -> None:
        """End all at once."""
        for worker in self.all:
            if worker.started.process.poll() is None:
                worker.started.process.kill()

    def _kill_late(self) -> None:
        for worker in self.all:
            if worker.channel is not None:
                logger.error("worker %d did not end when told to and is killed", worker.number)
        self.kill()

    async def _keep(self, worker: Worker) -> None:
        while True:
            began = time.monotonic()
            await self._attend(worker)
            status = await self._reap(worker)
            if self._stopping.is_set():
                return
            logger.warning("worker %d %s and is started again", worker.number, describe_end(status))
            worker.starts = 1 if time.monotonic() - began > STEADY else worker.starts + 1
            if worker.starts > VAIN_STARTS and not any(other.ready.is_set() for other in self.all):
                self._vain.set()
                self.stop(0)
                return
            if not await self._start_again(worker):
                return

    async def _attend(self, worker: Worker) -> None:
        """Read what a worker says until its channel ends."""
        channel = await Channel.over(worker.started.control)
        worker.channel, worker.heard_at = channel, time.monotonic()
        for key, value in self._told.items():
            channel.send(**{key: value})
        if self._stopping.is_set():
            channel.send(stop=True)
        while (message := await channel.receive()) is not None:
            worker.heard_at = time.monotonic()
            if "ready" in message:
                worker.ready.set()
            self._on_message(worker, message)
        worker.channel = None
        channel.close()

    async def _reap(self, worker: Worker) -> int:
        process = worker.started.process
        try:
            return await asyncio.to_thread(process.wait, self._patience + GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            return await asyncio.to_thread(process.wait)

    async def _start_again(self, worker: Worker) -> bool:
        """Start a worker after its delay; False if the daemon stops meanwhile."""
        while True:
            delay = min(LONGEST_DELAY, 0.05 * 2.0 ** (worker.starts - 2)) if worker.starts > 1 else 0.0
            try:
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            else:
                return False
            try:
                worker.started = self._ground.start_worker(worker.number)
            except OSError as error:
                worker.starts += 1
                logger.exception("worker %d cannot be started: %s", worker.number, error.strerror)
                continue
            self._row.add(WORKER_STARTS)
            return True


def describe_end(status: int) -> str:
    """An exit status in words: ended with status 1, was killed by SIGKILL."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
