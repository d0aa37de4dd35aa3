"""Connections over real sockets: slow readers, idle ones, too many of them, and the end of a worker."""

from __future__ import annotations

import asyncio
import gc
import http.client
import re
import socket
import time
import weakref
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from blocklistd.metrics import LISTED, LOOKUPS, REFUSED, REQUESTS, SLOT_OF
from blocklistd.web.hot import MOST
from tests.daemon.running import Daemon, wait_for
from tests.support import make_snapshot
from tests.web.conftest import FEEDS
from tests.web.rig import Client, Side, request, rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

PLAIN = request("/v1/ip/192.0.2.1", "User-Agent: test")


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def runner(request: pytest.FixtureRequest) -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_snapshot(tmp_path, FEEDS)
    return tmp_path


@asynccontextmanager
async def serving(data: Path, **options: Any) -> AsyncIterator[Side]:
    side = await Side.open(data, data / "http.sock", **options)
    try:
        yield side
    finally:
        await side.close()


async def ask(client: Client, data: bytes = PLAIN) -> bytes:
    client.send(data)
    return await client.settle()


def count(side: Side, metric: Any, *labels: str) -> int:
    return side.counts[SLOT_OF[metric, labels]]


def test_plain_lookups_never_reach_aiohttp(runner: asyncio.Runner, data: Path) -> None:
    """A client that only looks up stays on the lookup protocol, wrong addresses and pauses included."""

    async def scenario() -> None:
        async with serving(data) as side:
            assert side.runner.server is not None
            client = await side.connect(unix=True)
            for stream in (PLAIN, PLAIN * 200, PLAIN[:20], PLAIN[20:], request("/v1/ip/wrong"), request("/v1/ip/::1")):
                await ask(client, stream)
            assert client.received.count(b"HTTP/1.1 200 OK") == 203
            assert client.received.count(b"HTTP/1.1 400 ") == 1
            assert len(side.connections.here) == 1
            assert not side.runner.server.connections
            await ask(client, request("/healthz"))
            await ask(client, PLAIN)
            assert (len(side.connections.here), side.connections.open) == (0, 1)
            assert len(side.runner.server.connections) == 1
            client.close()
            await rounds()
            assert side.connections.open == 0
            assert count(side, REQUESTS, "ip", "2xx") == count(side, LOOKUPS, "ip") == 204
            assert count(side, LISTED, "ip") == 203
            assert count(side, REQUESTS, "ip", "4xx") == count(side, REQUESTS, "healthz", "2xx") == 1

    runner.run(scenario())


def test_a_client_that_does_not_read_is_not_read_from(runner: asyncio.Runner, data: Path) -> None:
    """Back-pressure: answers wait in a bounded buffer, the client's sending stops, and nothing is lost in the end."""
    total = 20_000

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect(unix=True)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**14)
            to_send = PLAIN * total
            stuck = 0
            while stuck < 50:
                sent = client.send(to_send[: len(PLAIN) * 10])
                to_send = to_send[sent:]
                stuck = 0 if sent else stuck + 1
                await asyncio.sleep(0)
            assert len(to_send) > len(PLAIN) * total / 2
            (here,) = side.connections.here
            assert here._transport is not None
            assert here._transport.get_write_buffer_size() < 2**17
            assert side.service.under_way == 1
            other = await side.connect()
            assert (await ask(other)).startswith(b"HTTP/1.1 200 OK")
            while to_send:
                to_send = to_send[client.send(to_send) :]
                client.take()
                await asyncio.sleep(0)
            await client.settle()
            assert client.received.count(b"HTTP/1.1 200 OK\r\n") == total
            assert side.service.under_way == 0
            client.close()
            other.close()

    runner.run(scenario())


def test_a_slow_reader_keeps_its_answers_when_it_is_handed_over(runner: asyncio.Runner, data: Path) -> None:
    """A request that is not plain behind a pile of unread answers is answered after all of them."""
    total = 5000

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect(unix=True)
            to_send = PLAIN * total + request("/healthz") + PLAIN
            while to_send:
                sent = client.send(to_send)
                to_send = to_send[sent:]
                await asyncio.sleep(0)
                if not sent:
                    client.take()
            await client.settle()
            assert client.received.count(b"HTTP/1.1 200 OK\r\n") == total + 2
            assert client.received.count(b'"live":true') == 1
            assert len(side.connections.here) == 0
            client.close()

    runner.run(scenario())


def test_a_client_that_leaves_with_answers_unread_is_forgotten(runner: asyncio.Runner, data: Path) -> None:
    """A connection that breaks while its answers wait leaves nothing behind and holds up no drain."""

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect(unix=True)
            for _ in range(200):
                client.send(PLAIN * 100)
                await asyncio.sleep(0)
            assert side.service.under_way == 1
            client.close()
            await asyncio.wait_for(side.service.idle(), 5)
            await rounds()
            assert side.connections.open == 0

    runner.run(scenario())


def test_a_pipeline_does_not_hold_up_others(runner: asyncio.Runner, data: Path) -> None:
    """While one client's thousand requests are answered in turns, another's single one is answered in between."""

    async def scenario() -> None:
        async with serving(data) as side:
            greedy, modest = await side.connect(unix=True), await side.connect(unix=True)
            await ask(greedy), await ask(modest)
            greedy.received = b""
            assert greedy.send(PLAIN * 1000) == len(PLAIN) * 1000
            modest.send(PLAIN)
            while not modest.take():
                await asyncio.sleep(0)
                greedy.take()
            assert greedy.received.count(b"HTTP/1.1 200 OK") <= 5 * MOST
            await greedy.settle()
            assert greedy.received.count(b"HTTP/1.1 200 OK") == 1000
            greedy.close()
            modest.close()

    runner.run(scenario())


@pytest.mark.parametrize(
    "begun", [b"", PLAIN, PLAIN + PLAIN[:30], PLAIN[:5], b"GET /no", PLAIN + b"POST /v1/ip HTTP/1.1\r\n"]
)
def test_an_idle_connection_ends(runner: asyncio.Runner, data: Path, begun: bytes) -> None:
    """Without a complete request for the idle time a connection is closed, not earlier, whoever reads it."""

    async def scenario() -> None:
        async with serving(data, idle=0.3) as side:
            client = await side.connect()
            await ask(client)
            await ask(client, begun)
            began = time.monotonic()
            await client.wait_end()
            assert time.monotonic() - began > 0.2
            await rounds()
            assert side.connections.open == 0
            client.close()

    runner.run(scenario())


@pytest.mark.parametrize(
    "head", [PLAIN[:-4] + b"x" * 1000, b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Slow: " + b"x" * 1000]
)
def test_a_head_that_trickles_in_ends_in_time(runner: asyncio.Runner, data: Path, head: bytes) -> None:
    """Byte after byte does not keep a connection open: the whole head must come within the idle time."""

    async def scenario() -> None:
        async with serving(data, idle=0.3) as side:
            client = await side.connect()
            await ask(client)
            sent = 0
            async with asyncio.timeout(10):
                while not client.ended:
                    sent += client.send(head[sent : sent + 1])
                    client.take()
                    await asyncio.sleep(0.01)
            assert sent < len(head)
            client.close()

    runner.run(scenario())


@pytest.mark.parametrize("question", [PLAIN, request("/v1/ip/wrong"), request("/healthz")])
def test_a_busy_connection_stays(runner: asyncio.Runner, data: Path, question: bytes) -> None:
    """Each answer starts the idle time anew, whoever gives it."""

    async def scenario() -> None:
        async with serving(data, idle=0.4) as side:
            client = await side.connect()
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                assert (await ask(client, question)).startswith(b"HTTP/1.1 ")
                await asyncio.sleep(0.05)
            assert not client.ended
            client.close()

    runner.run(scenario())


def test_a_head_begun_late_has_no_more_time(runner: asyncio.Runner, data: Path) -> None:
    """A connection that is handed over with half a head ends when it would have ended without that half."""

    async def scenario() -> None:
        async with serving(data, idle=1.5) as side:
            client = await side.connect()
            await ask(client)
            began = time.monotonic()
            await asyncio.sleep(1.0)
            await ask(client, b"GET /healthz HTTP/1.1\r\n")
            assert side.connections.here == set()
            await client.wait_end()
            assert time.monotonic() - began < 2.2
            client.close()

    runner.run(scenario())


def test_too_many_connections_are_turned_away(
    runner: asyncio.Runner, data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Above the limit a client is told 503 and why; places of both kinds count, and a free one is given again."""

    async def scenario() -> None:
        async with serving(data, most=2) as side:
            here, handed_over = await side.connect(), await side.connect()
            await ask(here)
            await ask(handed_over, request("/healthz"))
            for number in range(1, 3):
                third = await side.connect()
                third.send(PLAIN)
                told = await third.wait_end()
                assert told.startswith(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n")
                assert b"\r\nConnection: close\r\n\r\n{" in told
                third.close()
                assert count(side, REFUSED) == number
            assert b"200 OK" in await ask(here)
            for leaving in (here, handed_over):
                leaving.close()
                await side.deserted(but=side.connections.open - 1)
                again = await side.connect()
                assert b"200 OK" in await ask(again)
                again.close()
                await side.deserted(but=side.connections.open - 1)
            assert side.connections.open == 0

    runner.run(scenario())
    assert caplog.text.count("turned away") == 1


def test_closing_ends_idle_connections_and_lets_the_slow_finish(runner: asyncio.Runner, data: Path) -> None:
    """At the end of a worker an idle client sees the end at once, one that reads still gets its answers whole."""

    async def scenario() -> None:
        side = await Side.open(data, data / "http.sock")
        idle, slow = await side.connect(), await side.connect(unix=True)
        await ask(idle)
        for _ in range(200):
            slow.send(PLAIN * 10)
            await asyncio.sleep(0)
        assert side.service.under_way == 1
        side.service.draining = True
        draining = asyncio.create_task(side.service.idle())
        await rounds()
        assert not draining.done()
        while not draining.done():
            slow.take()
            await asyncio.sleep(0)
        await side.close()
        await idle.wait_end()
        await slow.wait_end()
        head, _, _ = slow.received.rpartition(b"HTTP/1.1 200 OK")
        assert head.count(b"HTTP/1.1 200 OK") > 100
        assert slow.received.endswith(b'"}')
        idle.close()
        slow.close()

    runner.run(scenario())


def test_closing_does_not_wait_for_one_that_never_reads(runner: asyncio.Runner, data: Path) -> None:
    """A client that reads nothing loses its connection after the patience is over."""

    async def scenario() -> None:
        side = await Side.open(data, data / "http.sock")
        client = await side.connect(unix=True)
        for _ in range(200):
            client.send(PLAIN * 10)
            await asyncio.sleep(0)
        await side.connections.close(patience=0.1)
        await rounds()
        assert (side.connections.open, side.service.under_way) == (0, 0)
        await side.close()
        client.close()

    runner.run(scenario())


def test_a_new_snapshot_is_answered_from_and_the_old_one_let_go(runner: asyncio.Runner, data: Path) -> None:
    """A kept connection follows the snapshot; nothing of the old one is held once the worker has been told."""

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect()
            await ask(client)
            old = weakref.ref(side.service.snapshot)
            newer = make_snapshot(data, {"gamma": ["192.0.2.1"]})
            assert side.service.cell.poll()
            assert newer.encode() in await ask(client)
            newest = make_snapshot(data, {"delta": ["192.0.2.1"]})
            middle = weakref.ref(side.service.snapshot)
            assert side.service.cell.poll()
            side.connections.renew()
            gc.collect()
            assert (old(), middle()) == (None, None)
            assert newest.encode() in await ask(client)
            client.close()

    runner.run(scenario())


def test_the_date_is_that_of_now(runner: asyncio.Runner, data: Path) -> None:
    """Date goes with the clock, second by second."""

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect()
            dates: set[float] = set()
            while len(dates) < 3:
                before = int(time.time())
                head, _, _ = (await ask(client)).partition(b"\r\n\r\n")
                (line,) = [line for line in head.decode().split("\r\n") if line.startswith("Date: ")]
                told = parsedate_to_datetime(line.removeprefix("Date: ")).timestamp()
                assert before <= told <= time.time()
                dates.add(told)
            client.close()

    runner.run(scenario())


def test_remembered_header_blocks_are_bounded(runner: asyncio.Runner, data: Path) -> None:
    """A client whose headers never repeat is answered, and its headers do not pile up."""

    async def scenario() -> None:
        async with serving(data) as side:
            client = await side.connect(unix=True)
            for first in range(0, 3000, 50):
                stream = [request("/v1/ip/192.0.2.1", f"X-Request-Id: {first + n}") for n in range(50)]
                assert (await ask(client, b"".join(stream))).count(b"200 OK") == 50
            assert len(side.connections._known) <= 1024
            assert len(side.connections.here) == 1
            client.close()

    runner.run(scenario())


def test_the_daemon_ends_idle_lookup_connections_at_once(data: Path) -> None:
    """SIGTERM with an idle kept connection of each kind: both see the end, the daemon does not wait for its drain."""
    with Daemon(data, "--no-refresh", "--drain", "30s") as daemon:
        kept = [http.client.HTTPConnection(*daemon.address, timeout=20) for _ in range(2)]
        for connection, headers in zip(kept, ({}, {"X-Other": "1"}), strict=True):
            for _ in range(3):
                connection.request("GET", "/v1/ip/192.0.2.1", headers=headers)
                response = connection.getresponse()
                assert (response.status, response.headers.get_content_type()) == (200, "application/json")
                response.read()
        assert daemon.metrics()["blocklistd_requests_total", "ip", "2xx"] == 6
        began = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began < 10
        for connection in kept:
            assert connection.sock is not None
            assert connection.sock.recv(1) == b""
            connection.close()


def test_the_daemon_holds_to_its_connections(data: Path) -> None:
    """--connections is the limit of a worker; the refused ones are seen in the metrics."""
    with Daemon(data, "--no-refresh", "--connections", "3") as daemon:
        kept: list[socket.socket] = []

        def fill() -> bool:
            """Open one more and keep it; a place may still be taken by a connection that has just been closed."""
            one = socket.create_connection(daemon.address, timeout=20)
            one.sendall(PLAIN)
            if one.recv(4096).startswith(b"HTTP/1.1 200 OK"):
                kept.append(one)
            else:
                one.close()
            return len(kept) == 3

        wait_for(fill, "three open connections")
        assert daemon.ask("/v1/ip/192.0.2.1").status == 503
        kept.pop().close()
        metrics = wait_for(
            lambda: (reply := daemon.ask("/metrics")).status == 200 and reply.body.decode(), "a free place"
        )
        refused = re.search(r"^blocklistd_connections_refused_total (\d+)", metrics, re.MULTILINE)
        assert refused is not None
        assert float(refused[1]) >= 1
        for one in kept:
            one.close()
