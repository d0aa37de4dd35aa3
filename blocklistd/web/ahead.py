"""A request body, read while its answer is still being written.

Takes a stream of chunks, gives them one by one. At most ``ahead`` bytes, and the chunk that goes beyond, lie waiting;
then reading pauses until the consumer has taken some.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Content(Protocol):
    """What a body is read from, such as aiohttp's ``StreamReader``."""

    async def readany(self) -> bytes:
        """The bytes that are there, at least one; none at the end."""


class ReadAhead:
    """The chunks of a body; iterate once, and close it whatever happens.

    Each side waits for an event that only the other sets: with one event for both, the reader could take back the
    call that it has just given, and neither would ever go on.
    """

    def __init__(self, content: Content, *, ahead: int, patience: float) -> None:
        """ahead: bytes; patience: seconds without a chunk after which reading ends with TimeoutError."""
        self._content = content
        self._ahead = ahead
        self._patience = patience
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._read())
        self._task.add_done_callback(lambda _: self._arrived.set())

    async def _read(self) -> None:
        while True:
            while self._held > self._ahead:
                self._taken.clear()
                await self._taken.wait()
            async with asyncio.timeout(self._patience):
                chunk = await self._content.readany()
            if not chunk:
                return
            self._chunks.append(chunk)
            self._held += len(chunk)
            self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunk by chunk; raises what reading raised."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                self._taken.set()
                yield chunk
            if self._task.done():
                self._task.result()
                return
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
