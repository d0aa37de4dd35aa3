"""A real application over a real small snapshot, on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklistd.daemon.memory import anonymous_file
from blocklistd.index.current import CurrentSnapshot
from blocklistd.metrics import ROW_BYTES, Counters
from blocklistd.reputation.policy import Policy, Profile
from blocklistd.web.app import make_app
from blocklistd.web.service import Service
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aiohttp import web
    from aiohttp.test_utils import TestClient
    from pytest_aiohttp import AiohttpClient

    Client = TestClient[web.Request, web.Application]

FEEDS = {
    "alpha": ["192.0.2.0/24", "2001:db8::/32"],
    "beta": ["192.0.2.1", "198.51.100.7", "2001:db8::1"],
}
DOMAINS = {"mailers": ["bad.example.org", "*.evil.example"]}
DATED = 1_700_000_000.0
"""What the lists say of their own date: 2023-11-14T22:13:20Z."""


def make_service(data: Path, rows: int = 2) -> Service:
    cell = CurrentSnapshot(data)
    cell.poll()
    counters = Counters(anonymous_file("test-counters", size=rows * ROW_BYTES), rows)
    return Service(cell, data, counters, counters.row(1))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    make_snapshot(tmp_path, FEEDS, domains=DOMAINS, dated=DATED)
    made = make_service(tmp_path)
    yield made
    made.state.close()


@pytest.fixture
async def client(service: Service, aiohttp_client: AiohttpClient) -> Client:
    service.use_policy(Policy({"default": Profile("default")}), ("other", "default"))
    return await aiohttp_client(make_app(service))


@pytest.fixture
async def empty_client(tmp_path: Path, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app(make_service(tmp_path / "empty")))
