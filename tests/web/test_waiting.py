"""Connections before aiohttp is there: plain lookups are answered, everything else waits and is not forgotten."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import uvloop
from aiohttp import web

from blocklistd.web.app import make_app
from blocklistd.web.connections import Connections
from blocklistd.web.handler import handler_factory
from tests.support import make_snapshot
from tests.web.conftest import FEEDS, make_service
from tests.web.rig import Client, request, rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

PLAIN = request("/v1/ip/192.0.2.1")
OTHER = request("/healthz")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@asynccontextmanager
async def waiting(folder: Path) -> AsyncIterator[tuple[Connections, Callable[[], None], Callable[[], Client]]]:
    """Connections that cannot be handed over yet; what lets them, and what makes a client."""
    make_snapshot(folder, FEEDS)
    service = make_service(folder)
    loop, path = asyncio.get_running_loop(), str(folder / "http.sock")
    routes = web.AppRunner(make_app(service), shutdown_timeout=0.5)
    await routes.setup()
    assert routes.server is not None
    make_handler = handler_factory(routes.server, loop)
    connections = Connections(service)
    server = await loop.create_unix_server(connections.accept, path)

    def connect() -> Client:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        connected.setblocking(False)
        return Client(connected)

    try:
        yield connections, lambda: connections.hand_over_to(make_handler), connect
    finally:
        server.close()
        await connections.close()
        await routes.cleanup()
        await rounds()


async def ask(client: Client, data: bytes) -> bytes:
    client.send(data)
    return await client.settle()


def test_plain_lookups_do_not_wait(runner: asyncio.Runner, tmp_path: Path) -> None:
    """They are answered, right and wrong ones, while another connection waits."""

    async def scenario() -> None:
        async with waiting(tmp_path) as (connections, _, connect):
            other, plain = connect(), connect()
            assert await ask(other, OTHER) == b""
            assert (await ask(plain, PLAIN * 3)).count(b"HTTP/1.1 200 OK") == 3
            assert (await ask(plain, request("/v1/ip/wrong"))).startswith(b"HTTP/1.1 400 ")
            assert connections.open == 2
            other.close()
            plain.close()

    runner.run(scenario())


@pytest.mark.parametrize("asked", [OTHER, OTHER * 3, PLAIN + OTHER, OTHER + PLAIN, OTHER + PLAIN[:20]])
def test_what_waited_is_answered_in_full(runner: asyncio.Runner, tmp_path: Path, asked: bytes) -> None:
    """Everything that was sent, also what was sent after it, in order, as soon as aiohttp is there."""

    async def scenario() -> None:
        async with waiting(tmp_path) as (connections, let_go, connect):
            client = connect()
            assert await ask(client, asked) == b""
            rest = PLAIN[20:] if asked.endswith(PLAIN[:20]) else PLAIN
            assert await ask(client, rest) == b""
            let_go()
            came = await client.settle()
            assert came.count(b"HTTP/1.1 200 OK") == (asked + rest).count(b"\r\n\r\n")
            assert came.count(b'{"ip":"192.0.2.1"') == (asked + rest).count(b"/v1/ip/")
            assert not connections.here
            assert b'"live"' in await ask(client, OTHER)
            client.close()

    runner.run(scenario())


def test_who_waits_is_not_read_from(runner: asyncio.Runner, tmp_path: Path) -> None:
    """However much a client sends: its sending stops, and all of it is answered in the end."""

    async def scenario() -> None:
        async with waiting(tmp_path) as (connections, let_go, connect):
            client = connect()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**14)
            assert await ask(client, OTHER) == b""
            block = PLAIN * 1000
            sent = stuck = 0
            while stuck < 50 and sent < 2**22:
                taken = client.send(block[sent % len(PLAIN) :])
                sent += taken
                stuck = 0 if taken else stuck + 1
                await asyncio.sleep(0)
            (here,) = connections.here
            assert here._rest == OTHER
            let_go()
            async with asyncio.timeout(20):
                while client.received.count(b'{"ip":"192.0.2.1"') < sent // len(PLAIN):
                    await client.settle()
            client.close()

    runner.run(scenario())


def test_who_leaves_while_waiting_is_gone(runner: asyncio.Runner, tmp_path: Path) -> None:
    """Nothing is left of it, and the others are served."""

    async def scenario() -> None:
        async with waiting(tmp_path) as (connections, let_go, connect):
            gone, stays = connect(), connect()
            for client in (gone, stays):
                await ask(client, OTHER)
            gone.close()
            await rounds()
            let_go()
            assert b"200 OK" in await stays.settle()
            await rounds()
            assert connections.open == 1
            stays.close()

    runner.run(scenario())


def test_the_worker_may_end_meanwhile(runner: asyncio.Runner, tmp_path: Path) -> None:
    """A connection that still waits is closed."""

    async def scenario() -> None:
        async with waiting(tmp_path) as (connections, _, connect):
            client = connect()
            await ask(client, OTHER)
            await connections.close()
            assert await client.wait_end() == b""
            client.close()

    runner.run(scenario())
