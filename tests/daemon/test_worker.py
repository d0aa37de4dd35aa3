"""A worker that cannot follow the snapshot survives what passes and ends for what does not."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from blocklistd.daemon.control import Channel
from blocklistd.daemon.memory import anonymous_file
from blocklistd.daemon.worker import Answering, Inheritance
from blocklistd.index.current import CurrentSnapshot
from blocklistd.metrics import ROW_BYTES
from blocklistd.reputation.policy import Policy, Profile
from blocklistd.settings import read_settings
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from blocklistd.daemon.control import Channel as ControlChannel


POLICY = Policy({"default": Profile("default")}).as_document()


class Troubled(CurrentSnapshot):
    """A cell whose looks break down: the given number of times, as if no thread could be started."""

    def __init__(self, data: Path, times: int) -> None:
        super().__init__(data)
        self.times = times

    def poll(self) -> bool:
        if self.times:
            self.times -= 1
            raise RuntimeError("can't start new thread")
        return super().poll()


@asynccontextmanager
async def answering(cell: CurrentSnapshot) -> AsyncIterator[tuple[asyncio.Task[None], ControlChannel]]:
    """A worker run in this process, and the supervisor's end of its channel."""
    settings = read_settings({"data": str(cell.data), "drain": "1s"}, {})
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    counters = anonymous_file("test-counters", size=2 * ROW_BYTES)
    inheritance = Inheritance(1, 2, theirs.detach(), counters, (listener.detach(),))
    channel = await Channel.over(ours)
    channel.send(policy={"read_at": 1.0, "problem": "", "profiles": ["other", "default"], "policy": POLICY})
    task = asyncio.create_task(Answering(settings, inheritance, cell).run())
    try:
        yield task, channel
    finally:
        channel.close()
        await asyncio.wait_for(asyncio.gather(task, return_exceptions=True), 20)
        os.close(counters)


async def hear(channel: ControlChannel, key: str) -> object:
    """The value of the next message that has the key; None at the end."""
    while (message := await asyncio.wait_for(channel.receive(), 20)) is not None:
        if key in message:
            return message[key]
    return None


async def test_a_look_that_breaks_down_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """After some failures in a row the worker still finds the snapshot; the log holds one line about it."""
    published = make_snapshot(tmp_path, {"alpha": ["192.0.2.1"]})
    async with answering(Troubled(tmp_path, 3)) as (task, channel):
        assert await hear(channel, "ready") is None
        assert await hear(channel, "snapshot") == published
        channel.send(stop=True)
        await asyncio.wait_for(task, 20)
    lines = [record.getMessage() for record in caplog.records if "cannot look" in record.getMessage()]
    assert lines == ["cannot look for a new snapshot: can't start new thread"]


async def test_a_worker_that_can_never_look_ends(tmp_path: Path) -> None:
    """It does not answer from an old snapshot for ever: it ends with the reason, and will be started afresh."""
    make_snapshot(tmp_path, {"alpha": ["192.0.2.1"]})
    async with answering(Troubled(tmp_path, 10**9)) as (task, channel):
        assert await hear(channel, "ready") is None
        assert await hear(channel, "nothing") is None
        with pytest.raises(RuntimeError, match="can't start new thread"):
            await asyncio.wait_for(task, 20)


async def test_a_worker_whose_supervisor_talks_nonsense_ends(tmp_path: Path) -> None:
    """A message that cannot be understood ends the worker instead of leaving it deaf."""
    make_snapshot(tmp_path, {"alpha": ["192.0.2.1"]})
    async with answering(CurrentSnapshot(tmp_path)) as (task, channel):
        channel.send(catalogue={"odd": True})
        with pytest.raises(KeyError):
            await asyncio.wait_for(task, 20)
