"""Reports over HTTP: GET /v1/report/{ip}, POST /v1/report.

Takes addresses and the name of a profile (``?profile=``, one for the whole request), gives reports as JSON or msgpack.
Bulk takes and gives what /v1/ip does, but always streams: fifty thousand reports are larger than a worker should hold.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from blocklistd.metrics import LISTED, LOOKUPS, SLOT_OF
from blocklistd.reputation.policy import DEFAULT
from blocklistd.web.api import wants_msgpack
from blocklistd.web.bodies import JSON, MSGPACK, Answering, array_header, encode
from blocklistd.web.bulk import answer_lines, read_questions, stream, takes_lines
from blocklistd.web.keys import SERVICE
from blocklistd.web.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from blocklistd.reputation.assess import Assessor
    from blocklistd.web.service import Service

ASKED: Final = SLOT_OF[LOOKUPS, ("report",)]
FOUND: Final = SLOT_OF[LISTED, ("report",)]
BATCH: Final = 60
"""Reports between two pauses, about two milliseconds."""


def profile_of(request: web.Request) -> str:
    """The profile that the query names. Raises RequestRefused for any other query: who misspells must learn of it."""
    given = list(request.query.items()) if request.query_string else []
    if not given:
        return DEFAULT
    (name, profile), *others = given
    if name != "profile" or others:
        raise RequestRefused(400, "The query may hold profile, once, such as ?profile=login, and nothing else.")
    return profile


async def get_report(request: web.Request) -> web.Response:
    """Everything known of one address, and what to do."""
    service = request.app[SERVICE]
    packed = wants_msgpack(request)
    reports = Reports(service, await service.judging.assessor(service), profile_of(request), packed=packed)
    body = reports.single(request.match_info["ip"])
    return web.Response(body=body, content_type=MSGPACK if packed else JSON)


async def post_reports(request: web.Request) -> web.StreamResponse:
    """The same for each of many addresses."""
    service = request.app[SERVICE]
    lines = takes_lines(request)
    assessor, profile = await service.judging.assessor(service), profile_of(request)
    assessor.policy.profile(profile)  # refused before anything is streamed
    if lines:
        return await answer_lines(request, Reports(service, assessor, profile), lambda: None, BATCH)
    packed = wants_msgpack(request)
    questions = await read_questions(request)
    reports = Reports(service, assessor, profile, packed=packed)
    pieces = array_of(reports, questions, BATCH, service.turn, packed=packed)
    return await stream(request, MSGPACK if packed else JSON, pieces)


async def array_of(
    reports: Answering, questions: Sequence[object], batch: int, turn: asyncio.Lock, *, packed: bool
) -> AsyncGenerator[bytes]:
    """The answers as one encoded array, ``batch`` a turn."""
    opening, between, closing = (array_header(len(questions)), b"", b"") if packed else (b"[", b",", b"]")
    yield opening
    for start in range(0, len(questions), batch):
        async with turn:
            piece = between.join(reports.items(questions[start : start + batch]))
            await asyncio.sleep(0)
        yield (between if start else b"") + piece
    yield closing


class Reports(Answering):
    """Encoded reports for one request; each is counted, and logged where decisions are."""

    def __init__(self, service: Service, assessor: Assessor, profile: str, *, packed: bool = False) -> None:
        super().__init__(packed=packed)
        self._service, self._assessor, self._profile = service, assessor, profile

    def single(self, text: str) -> bytes:
        """The report on one address. Raises BadAddress, UsageError (no such profile)."""
        report = self._assessor.report(text, self._profile)
        service = self._service
        service.row.add_at(ASKED)
        if report.listings:
            service.row.add_at(FOUND)
        service.decided(report)
        return encode(report.as_document(), packed=self._packed)
