"""The operator's entries over HTTP: list, look at, put, take away.

Each takes a request of an operator and gives a response or raises. What is answered is read from ``state.db`` itself,
and a change is on disk and in force in this worker before its answer goes out; the other workers follow within a
second.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from blocklistd.state import overrides as table
from blocklistd.state.overrides import (
    find_override,
    make_override,
    parse_key,
    read_overrides,
    remove_override,
)
from blocklistd.web.access import require_operator
from blocklistd.web.api import answer
from blocklistd.web.bodies import JSON
from blocklistd.web.keys import SERVICE
from blocklistd.web.problems import RequestRefused

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from blocklistd.state.audit import Actor
    from blocklistd.state.database import Database
    from blocklistd.state.overrides import Override
    from blocklistd.web.service import Service

MOST_BYTES: Final = 16 * 2**10
PATIENCE: Final = 10.0
"""Seconds for a body to arrive."""
FIELDS: Final = ("action", "reason", "author", "expires")


async def get_overrides(request: web.Request) -> web.Response:
    """All entries in force."""
    require_operator(request)
    entries = await asyncio.to_thread(_read_all, request.app[SERVICE].data)
    return answer(request, {"overrides": [entry.as_document() for entry in entries]})


async def get_override(request: web.Request) -> web.Response:
    """The entry of one key."""
    require_operator(request)
    key = parse_key(request.match_info["key"]).text
    entry = await asyncio.to_thread(_read_one, request.app[SERVICE].data, key)
    return answer(request, _existing(entry, key).as_document())


async def put_override(request: web.Request) -> web.Response:
    """Store the entry of one key: 201 for a new one, 200 in place of another."""
    actor = require_operator(request)
    key = request.match_info["key"]
    parse_key(key)
    fields = _read_fields(await _read_body(request))
    entry = make_override(key, *(fields.get(name) for name in FIELDS), actor=actor, now=time.time())
    service = request.app[SERVICE]
    former = await asyncio.to_thread(_put, service.data, entry, actor)
    await _take_effect(service)
    return answer(request, entry.as_document(), status=200 if former is not None else 201)


async def delete_override(request: web.Request) -> web.Response:
    """Take an entry away; the answer is what it was."""
    actor = require_operator(request)
    key = parse_key(request.match_info["key"]).text
    service = request.app[SERVICE]
    entry = _existing(await asyncio.to_thread(_remove, service.data, key, actor), key)
    await _take_effect(service)
    return answer(request, entry.as_document())


async def _take_effect(service: Service) -> None:
    """The worker that was told must not contradict itself in its next answer."""
    await asyncio.to_thread(service.state.load)


def _existing(entry: Override | None, key: str) -> Override:
    if entry is None:
        raise RequestRefused(404, f"There is no override {key}; GET /v1/overrides names them all.")
    return entry


async def _read_body(request: web.Request) -> bytes:
    if request.content_type != JSON:
        raise RequestRefused(415, f"Send {JSON}, not {request.content_type}.")
    too_large = RequestRefused(413, f"An override may have {MOST_BYTES:,} bytes.")
    if (request.content_length or 0) > MOST_BYTES:
        raise too_large
    try:
        async with asyncio.timeout(PATIENCE):
            body = await request.read()
    except TimeoutError:
        raise RequestRefused(408, "The body did not arrive in time.") from None
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except web.RequestPayloadError:
        raise RequestRefused(400, "The body broke off or was not encoded as its headers say.") from None
    if len(body) > MOST_BYTES:
        raise too_large
    return body


def _read_fields(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"The body is not JSON: {error}.") from None
    if not isinstance(document, dict):
        raise RequestRefused(400, 'The body must be an object such as {"action": "allow", "reason": "…"}.')
    if unknown := sorted(set(document) - set(FIELDS)):
        raise RequestRefused(400, f"The body may hold {', '.join(FIELDS)}, not {', '.join(unknown)[:200]}.")
    return document


def _read_all(data: Path) -> list[Override]:
    with _existing_database(data) as database:
        return read_overrides(database, time.time()) if database is not None else []


def _read_one(data: Path, key: str) -> Override | None:
    with _existing_database(data) as database:
        return find_override(database, key, time.time()) if database is not None else None


def _put(data: Path, entry: Override, actor: Actor) -> Override | None:
    from blocklistd.state.database import Database

    with Database.open(data) as database:
        return table.put_override(database, entry, actor)


def _remove(data: Path, key: str, actor: Actor) -> Override | None:
    with _existing_database(data) as database:
        return remove_override(database, key, actor, time.time()) if database is not None else None


def _existing_database(data: Path) -> AbstractContextManager[Database | None]:
    from blocklistd.state.database import Database  # a worker that nobody asks for this does not load SQLite

    return Database.open_existing(data) or nullcontext()
