"""The HTTP routes of a real daemon on loopback asked from Python: one connection, 32 connections, and in bulk.

The client is a plain socket loop in this process, so client and server share the machine as they do on an edge host.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import time
from typing import TYPE_CHECKING

from bench.data import Lists, questions
from bench.measure import Row, in_turns
from tests.acceptance import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SECONDS = 1.0
BULK = 50_000


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Measure a daemon of one worker over a data folder."""
    catalogue = data / "feeds.yaml"
    feed = {"id": "none", "url": "https://example.org/list", "format": "lines", "category": "attacker"}
    catalogue.write_text(json.dumps({"feeds": [feed]}), encoding="utf-8")
    asked = questions(lists, 4)
    with program.serve(data, catalogue) as port:
        for connections in (1, 32):
            rounds = [asyncio.run(_load(port, asked, connections)) for _ in range(3)]
            rate = statistics.median(count / SECONDS for count, _ in rounds)
            middle = statistics.median(latency for _, latency in rounds)
            yield Row("bulk", f"GET /v1/ip, {connections} connections: requests/s", rate, "/s")
            yield Row("bulk", f"GET /v1/ip, {connections} connections: median", middle * 1e6, "µs")
        json_body, text_body = json.dumps(asked).encode(), "\n".join(asked).encode()
        medians = in_turns(
            {
                "POST /v1/ip, JSON": lambda: _post(port, json_body, "application/json"),
                "POST /v1/ip, plain lines": lambda: _post(port, text_body, "text/plain"),
            },
            rounds=3,
        )
        for name, seconds in medians.items():
            yield Row("bulk", name, seconds * 1e6, "µs", note=f"an address, {BULK:,} a request")


async def _load(port: int, asked: Sequence[str], connections: int) -> tuple[int, float]:
    """Ask as fast as answers come; gives the number of answers and the median seconds of one."""
    limit = time.perf_counter() + SECONDS
    latencies: list[float] = []
    async with asyncio.TaskGroup() as group:
        for number in range(connections):
            group.create_task(_connection(port, asked[number:], limit, latencies))
    return len(latencies), statistics.median(latencies)


async def _connection(port: int, asked: Sequence[str], limit: float, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        for ip in asked:
            begun = time.perf_counter()
            if begun > limit:
                writer.close()
                await writer.wait_closed()
                return
            writer.write(f"GET /v1/ip/{ip} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            assert head.startswith(b"http/1.1 200 "), head
            at = head.index(b"content-length: ") + 16
            await reader.readexactly(int(head[at : head.index(b"\r", at)]))
            latencies.append(time.perf_counter() - begun)


def _post(port: int, body: bytes, kind: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/v1/ip", body, {"Content-Type": kind})
        response = connection.getresponse()
        content = response.read()
        assert response.status == 200, content[:200]
    finally:
        connection.close()
    return BULK
