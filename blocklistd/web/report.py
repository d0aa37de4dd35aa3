"""Reports over HTTP: GET /v1/report/{ip}, POST /v1/report.

Takes addresses and the name of a profile (``?profile=``, one for the whole request), gives reports as JSON or msgpack.
Bulk takes and gives what /v1/ip does, but always streams: fifty thousand reports are larger than a worker should hold.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import web

from blocklistd.errors import BadAddress
from blocklistd.metrics import LISTED, LOOKUPS, SLOT_OF
from blocklistd.web.api import wants_msgpack
from blocklistd.web.bodies import JSON, MSGPACK, array_header, encode, refusal
from blocklistd.web.bulk import answer_lines, read_questions, stream, takes_lines
from blocklistd.web.keys import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from blocklistd.reputation.assess import Assessor
    from blocklistd.web.bulk import Answering
    from blocklistd.web.service import Service

ASKED: Final = SLOT_OF[LOOKUPS, ("report",)]
FOUND: Final = SLOT_OF[LISTED, ("report",)]
BATCH: Final = 60
"""Reports between two pauses, about two milliseconds."""


def profile_of(request: web.Request) -> str:
    """The profile that the query names; the first, where several do."""
    return request.query.get("profile", "default") if request.query_string else "default"


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
    pieces = array_of(Reports(service, assessor, profile, packed=packed), questions, BATCH, packed=packed)
    return await stream(request, MSGPACK if packed else JSON, pieces)


async def array_of(
    reports: Answering, questions: Sequence[object], batch: int, *, packed: bool
) -> AsyncGenerator[bytes]:
    """The answers as one encoded array, ``batch`` at a time."""
    opening, between, closing = (array_header(len(questions)), b"", b"") if packed else (b"[", b",", b"]")
    yield opening
    for start in range(0, len(questions), batch):
        yield (between if start else b"") + between.join(reports.items(questions[start : start + batch]))
        await asyncio.sleep(0)
    yield closing


class Reports:
    """Encoded reports for one request; each is counted, and logged where decisions are."""

    def __init__(self, service: Service, assessor: Assessor, profile: str, *, packed: bool = False) -> None:
        self._service, self._assessor, self._profile, self._packed = service, assessor, profile, packed

    def single(self, text: str) -> bytes:
        """The report on one address. Raises BadAddress, UsageError (no such profile)."""
        report = self._assessor.report(text, self._profile)
        service = self._service
        service.row.add_at(ASKED)
        if report.listings:
            service.row.add_at(FOUND)
        service.decided(report)
        return encode(report.as_document(), packed=self._packed)

    def items(self, questions: Sequence[object]) -> list[bytes]:
        """The reports on many: what ``item`` gives for each."""
        return [self.item(question) for question in questions]

    def item(self, question: object) -> bytes:
        """The report on one of many: a bad question is answered with the reason."""
        if not isinstance(question, str):
            return self.refuse(question, "an address is a text such as 192.0.2.1")
        try:
            return self.single(question)
        except BadAddress as error:
            return self.refuse(question, str(error))

    def refuse(self, question: object, reason: str) -> bytes:
        """The answer to a question that is none."""
        return refusal(question, reason, packed=self._packed)
