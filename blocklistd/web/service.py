"""What the handlers share: the snapshot cell, the counters, the supervisor's notices, and how to ask for a refresh."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import web

from blocklistd.collect.state import FeedState, read_states
from blocklistd.errors import NoSnapshot
from blocklistd.web.feeds import FeedStatus, feed_statuses
from blocklistd.web.notices import Notices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from blocklistd.index import Snapshot
    from blocklistd.index.current import CurrentSnapshot
    from blocklistd.metrics import Counters, Row

FRESH: Final = 1.0
"""Fetch states read from disk are used for so many seconds."""


class RefreshReply(NamedTuple):
    """The supervisor's answer to a wish for a refresh: an HTTP status and a sentence."""

    status: int
    sentence: str


async def _nobody_to_ask() -> RefreshReply:
    return RefreshReply(503, "No supervisor is there to start a refresh.")


@dataclass(slots=True)
class Service:
    """One worker's view of the world.

    cell: follows the current snapshot; data: the data folder, whose fetch states are read; counters: all rows,
    row: our own; notices: what the supervisor said last; ask_refresh: hands a wish to it; under_way: requests being
    answered; draining: each connection ends with its next answer.
    """

    cell: CurrentSnapshot
    data: Path
    counters: Counters
    row: Row
    notices: Notices = field(default_factory=Notices)
    ask_refresh: Callable[[], Awaitable[RefreshReply]] = _nobody_to_ask
    under_way: int = 0
    draining: bool = False
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _states: Mapping[str, FeedState] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot to answer from; take it once a request. Raises NoSnapshot."""
        snapshot = self.cell.snapshot
        if snapshot is None:
            reason = f" ({self.cell.problem})" if self.cell.problem else ""
            raise NoSnapshot(f"There is no snapshot to answer from yet{reason}; GET /v1/feeds says what is missing.")
        return snapshot

    def leave(self) -> None:
        """A request has got its answer."""
        self.under_way -= 1
        if not self.under_way:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while self.under_way:
            self._idle.clear()
            await self._idle.wait()

    async def states(self) -> Mapping[str, FeedState]:
        """Fetch states by feed id, at most a second old; read off the loop."""
        async with self._reading:
            if time.monotonic() - self._read_at > FRESH:
                self._states = await asyncio.to_thread(read_states, self.data)
                self._read_at = time.monotonic()
        return self._states

    async def feeds(self) -> tuple[FeedStatus, ...]:
        """What is known of each feed now."""
        states = await self.states()
        snapshot = self.cell.snapshot
        return feed_statuses(snapshot.feeds if snapshot else (), states, self.notices, time.time())


SERVICE: Final = web.AppKey("service", Service)
