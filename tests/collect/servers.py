"""Real servers on loopback that hand out lists, well or badly, and remember what they were asked."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import TestServer

from blocklistd.catalogue import Feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from ssl import SSLContext

BODY = b"192.0.2.1\n198.51.100.0/24\n"


@dataclass
class ListServer:
    """A web server whose answers are given by path: a body, a response, or a handler."""

    answers: dict[str, bytes | Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=dict)
    requests: list[web.Request] = field(default_factory=list)
    base: str = ""

    def url(self, path: str = "/list") -> str:
        return self.base + path

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        found = self.answers.get(request.path)
        if found is None:
            return web.Response(status=404)
        return web.Response(body=found) if isinstance(found, bytes) else await found(request)


@asynccontextmanager
async def list_server(*, host: str = "127.0.0.1", tls: SSLContext | None = None) -> AsyncIterator[ListServer]:
    """A ListServer that is up; with ``tls`` it speaks https under the name localhost."""
    lists = ListServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", lists.answer)
    server = TestServer(app, host=host, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    lists.base = f"https://localhost:{server.port}" if tls else f"http://{host}:{server.port}"
    try:
        yield lists
    finally:
        await server.close()


@asynccontextmanager
async def raw_server(
    speak: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that reads the request's head and then speaks whatever bytes it likes; gives its URL."""
    running: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await speak(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            running.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/list"
    finally:
        server.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await server.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Make the close of this connection an RST instead of a FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@dataclass
class TableResolver(AbstractResolver):
    """Resolves names from a table, whose addresses may change from one question to the next."""

    table: dict[str, list[str]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host not in self.table:
            raise OSError(None, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.table[host]
        ]

    async def close(self) -> None:
        """Nothing to close."""


def closed_port() -> int:
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def make_feed(*urls: str, **fields: object) -> Feed:
    """A feed of plain lines from these URLs."""
    document = {"id": "made", "urls": list(urls), "format": "lines", "category": "abuse", **fields}
    return Feed.model_validate(document)
