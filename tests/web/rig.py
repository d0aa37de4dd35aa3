"""Two workers' connections side by side in one loop: one answers plain lookups at once, one leaves all to aiohttp.

The clients are non-blocking sockets in the same thread, so that "nothing more is coming" is not a matter of time: the
loop has gone round ``QUIET`` times without a byte, and a unix socket delivers as soon as something is sent.
"""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from blocklistd.web.app import make_app
from blocklistd.web.connections import Connections
from blocklistd.web.handler import handler_factory
from tests.web.conftest import make_service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blocklistd.web.service import Service

QUIET = 25
DATE = re.compile(rb"\r\nDate: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9:]{8} GMT\r\n")


@dataclass
class Side:
    """One worker's connections, listening on loopback and on a unix socket."""

    service: Service
    connections: Connections
    runner: web.AppRunner
    address: tuple[str, int]
    path: Path
    servers: Sequence[asyncio.AbstractServer]

    @classmethod
    async def open(cls, data: Path, path: Path, *, idle: float = 75.0, guarded: bool = False, **options: Any) -> Self:
        service = make_service(data)
        service.state.load()
        runner = web.AppRunner(make_app(service), shutdown_timeout=0.5)
        await runner.setup()
        assert runner.server is not None
        loop = asyncio.get_running_loop()
        make_handler = handler_factory(runner.server, loop, guarded=guarded, keepalive_timeout=idle)
        connections = Connections(service, make_handler, idle=idle, guarded=guarded, **options)
        tcp = await loop.create_server(connections.accept, "127.0.0.1", 0)
        unix = await loop.create_unix_server(connections.accept, str(path))
        return cls(service, connections, runner, tcp.sockets[0].getsockname(), path, (tcp, unix))

    async def close(self) -> None:
        for server in self.servers:
            server.close()
        await self.connections.close()
        await self.runner.cleanup()
        self.service.state.close()
        await rounds()

    async def connect(self, *, unix: bool = False) -> Client:
        client = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        client.setblocking(False)
        await asyncio.get_running_loop().sock_connect(client, str(self.path) if unix else self.address)
        if not unix:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return Client(client)

    @property
    def counts(self) -> list[int]:
        """What the worker has counted so far."""
        return self.service.row.slots.tolist()

    async def talk(self, chunks: Sequence[bytes]) -> list[tuple[bytes, bool]]:
        """What came back after each chunk, and whether the connection had ended by then."""
        client = await self.connect(unix=True)
        seen = []
        for chunk in chunks:
            client.send(chunk)
            came = await client.settle()
            seen.append((DATE.sub(b"\r\nDate: -\r\n", came), client.ended))
        client.close()
        await self.deserted()
        return seen

    async def deserted(self, but: int = 0) -> None:
        """Wait until all connections but so many are gone and their last requests are counted."""
        async with asyncio.timeout(10):
            while self.connections.open > but or self.service.under_way:
                await rounds(1)
        await rounds()


class Client:
    """The other end of a connection; use its methods, not its socket, while the loop runs."""

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self.received = b""
        self.ended = False

    def send(self, data: bytes) -> int:
        """Send what goes; how much that was."""
        try:
            return self.socket.send(data)
        except BlockingIOError:
            return 0
        except ConnectionError:
            self.ended = True
            return len(data)

    def take(self) -> bytes:
        """Whatever has come."""
        came = b""
        while not self.ended:
            try:
                part = self.socket.recv(2**16)
            except BlockingIOError:
                break
            except ConnectionError:
                part = b""
            came += part
            self.ended = not part
        self.received += came
        return came

    async def settle(self) -> bytes:
        """Whatever comes until nothing more does."""
        came = b""
        silent = 0
        while silent < QUIET and not self.ended:
            await asyncio.sleep(0)
            part = self.take()
            came += part
            silent = 0 if part else silent + 1
        return came

    async def wait_end(self, patience: float = 10.0) -> bytes:
        """Everything until the server ends the connection."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(patience):
            while not self.ended:
                part = await loop.sock_recv(self.socket, 2**16)
                self.received += part
                self.ended = not part
        return self.received

    def close(self) -> None:
        self.socket.close()


async def rounds(count: int = 6) -> None:
    """Let the loop go round."""
    for _ in range(count):
        await asyncio.sleep(0)


def request(path: str = "/v1/ip/192.0.2.1", *headers: str, version: str = "HTTP/1.1") -> bytes:
    """A GET with a Host and what else is given."""
    return "\r\n".join([f"GET {path} {version}", "Host: localhost", *headers, "", ""]).encode("latin-1")
