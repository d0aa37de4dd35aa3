"""The parsing processes of one refresh, seen from their parent.

A lane is killed at its deadline (one bad pattern must not spend the cycle) and replaced when the next feed needs it.
Whatever happens to it, the feed gets an answer: a ``Parsed`` that says why the version was refused.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from blocklistd.collect.model import Refused
from blocklistd.refresh.lane import LARGEST_ANSWER, LENGTH, MEMORY_LIMIT, READY, Parsed, ParseTask, frame

if TYPE_CHECKING:
    from types import TracebackType

MOST_LANES: Final = 8
"""More processors than this would wait for the network anyway."""
START: Final = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # Ctrl-C is the parent's to deal with
    "from blocklistd.refresh.lane import main; main({deadline!r}, {memory})"
)
START_PATIENCE: Final = 30.0
"""Seconds a new process may take to import what it needs."""


class Lane:
    """One parsing process, started when it is first needed; use from one task at a time."""

    def __init__(self, deadline: float, memory: int = MEMORY_LIMIT) -> None:
        self._deadline = deadline
        self._memory = memory
        self._process: asyncio.subprocess.Process | None = None

    async def parse(self, task: ParseTask) -> Parsed:
        """Parse and vet a feed. Trouble of any kind is a ``Parsed`` with ``refused``."""
        try:
            if self._process is None:
                async with asyncio.timeout(START_PATIENCE):
                    await self._start()
            async with asyncio.timeout(self._deadline):
                return await self._ask(task)
        except TimeoutError:
            await self.close()
            return Parsed(refused=Refused(f"parsing took longer than {self._deadline:g} s"))
        except (asyncio.IncompleteReadError, OSError, ValueError, TypeError, KeyError):
            await self.close()
            return Parsed(refused=Refused("the parsing process died or could not be started, out of memory perhaps"))
        except asyncio.CancelledError:  # its answer would be taken for that of the next feed
            await self.close()
            raise

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            START.format(deadline=self._deadline, memory=self._memory),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        if await self._receive() != READY:
            raise ValueError("no lane")

    async def _ask(self, task: ParseTask) -> Parsed:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(frame(pickle.dumps(task)))
        await self._process.stdin.drain()
        return Parsed.decode(await self._receive())

    async def _receive(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        length = int.from_bytes(await self._process.stdout.readexactly(LENGTH))
        if length > LARGEST_ANSWER:
            raise ValueError("no lane answers at such length")
        return await self._process.stdout.readexactly(length)

    async def close(self) -> None:
        """End the process, at work or not."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


class Lanes:
    """As many lanes as there are processors, for any number of tasks; an async context manager."""

    def __init__(self, deadline: float) -> None:
        self._lanes = [Lane(deadline) for _ in range(min(MOST_LANES, len(os.sched_getaffinity(0))))]
        self._free: asyncio.LifoQueue[Lane] = asyncio.LifoQueue()
        for lane in self._lanes:
            self._free.put_nowait(lane)

    async def parse(self, task: ParseTask) -> Parsed:
        """Parse in the next free lane."""
        lane = await self._free.get()
        try:
            return await lane.parse(task)
        finally:
            self._free.put_nowait(lane)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for lane in self._lanes:
            await lane.close()
