"""GET /v1/history/{ip}: what changed for an address, and when.

Reads ``history.db`` off the loop; a facts endpoint, so no wish of the operator shows in it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from blocklistd.addresses import format_address
from blocklistd.errors import StorageFailed
from blocklistd.index.snapshot import address_of
from blocklistd.units import format_moment
from blocklistd.web.api import answer
from blocklistd.web.keys import SERVICE
from blocklistd.web.problems import RETRY_AFTER, RequestRefused

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

MOST_EVENTS: Final = 1_000
"""The newest of an address that are given."""


async def get_history(request: web.Request) -> web.Response:
    """Every event of one address that is remembered, newest first."""
    service = request.app[SERVICE]
    snapshot = service.snapshot
    address = address_of(request.match_info["ip"])
    feeds = snapshot.lookup(request.match_info["ip"]).feeds
    try:
        past = await asyncio.to_thread(_read, service.data, snapshot.generation, *address)
    except StorageFailed as error:
        raise RequestRefused(503, f"The history is not to be had: {error}.", RETRY_AFTER) from error
    body = {"ip": format_address(*address), "listed": bool(feeds), "feeds": feeds, **past, "snapshot": snapshot.id}
    return answer(request, body)


def _read(data: Path, generation: int, family: int, value: int) -> dict[str, Any]:
    from blocklistd.index.history import History  # SQLite is loaded when it is first asked for

    with History.open(data, generation) as history:
        since, events = history.known_since(), history.events(family, value, MOST_EVENTS)
    return {"known_since": format_moment(since or 0), "events": [event.as_document() for event in events]}
