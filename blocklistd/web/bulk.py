"""Many questions in one request.

POST /v1/ip takes a JSON array or ``{"ips": […]}`` of at most ``MOST_ITEMS`` texts and gives an array in the same order,
or takes text lines in any number and gives a JSON object a line, streamed. Either way other requests get their turn
after every ``BATCH`` answers, and a bad question is answered with its reason.

Lines are answered while they arrive. A caller that reads no answer before it has sent everything is served up to
``AHEAD`` bytes of questions; beyond that it must read as it writes.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from blocklistd.web.ahead import ReadAhead
from blocklistd.web.api import ASKED, FOUND, wants_msgpack
from blocklistd.web.bodies import JSON, MSGPACK, NDJSON, Answers, join
from blocklistd.web.lines import LONGEST_LINE, LineSplitter
from blocklistd.web.problems import RequestRefused
from blocklistd.web.service import SERVICE

if TYPE_CHECKING:
    from blocklistd.web.service import Service

logger = logging.getLogger(__name__)

MOST_ITEMS: Final = 50_000
MOST_BYTES: Final = 4 * 2**20
"""Largest JSON body: 50,000 IPv6 addresses with quotes and blanks fit twice."""
BATCH: Final = 500
"""Answers between two pauses, about two milliseconds."""
AHEAD: Final = 8 * 2**20
PATIENCE: Final = 60.0
"""Seconds without a byte in either direction after which a caller is given up."""


async def post_ips(request: web.Request) -> web.StreamResponse:
    """Which feeds name each of many addresses."""
    if request.content_type == "text/plain":
        return await _answer_lines(request)
    if request.content_type == JSON:
        return await _answer_array(request)
    raise RequestRefused(
        415,
        f"Send {JSON} (an array of addresses) or text/plain (one a line), not {request.content_type}.",
        {"Accept-Post": f"{JSON}, text/plain"},
    )


async def _answer_array(request: web.Request) -> web.Response:
    service = request.app[SERVICE]
    snapshot = service.snapshot
    questions = _read_questions(await _read_body(request))
    packed = wants_msgpack(request)
    answers = Answers(snapshot, packed=packed)
    encoded: list[bytes] = []
    for start in range(0, len(questions), BATCH):
        encoded += answers.items(questions[start : start + BATCH])
        await asyncio.sleep(0)
    _count(service, answers)
    return web.Response(body=join(encoded, packed=packed), content_type=MSGPACK if packed else JSON)


async def _read_body(request: web.Request) -> bytes:
    if (request.content_length or 0) > MOST_BYTES:
        raise RequestRefused(413, f"A JSON body may have {MOST_BYTES:,} bytes; send text/plain lines for more.")
    try:
        async with asyncio.timeout(PATIENCE):
            return await request.read()
    except TimeoutError:
        raise RequestRefused(408, "The body did not arrive in time.") from None
    except web.HTTPRequestEntityTooLarge:
        raise RequestRefused(413, f"A JSON body may have {MOST_BYTES:,} bytes; send text/plain for more.") from None
    except web.RequestPayloadError:
        raise RequestRefused(400, "The body broke off or was not encoded as its headers say.") from None


def _read_questions(body: bytes) -> list[Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"The body is not JSON: {error}.") from None
    questions = document.get("ips") if isinstance(document, dict) else document
    if not isinstance(questions, list):
        raise RequestRefused(400, 'The body must be an array of addresses, or an object {"ips": […]} with one.')
    if len(questions) > MOST_ITEMS:
        raise RequestRefused(413, f"One request may ask {MOST_ITEMS:,} addresses; send text/plain lines for more.")
    return questions


async def _answer_lines(request: web.Request) -> web.StreamResponse:
    service = request.app[SERVICE]
    snapshot = service.snapshot
    response = web.StreamResponse(headers={"Content-Type": NDJSON})
    answers, splitter = Answers(snapshot), LineSplitter()
    ahead = ReadAhead(request.content, ahead=AHEAD, patience=PATIENCE)
    try:
        await response.prepare(request)
        async for chunk in ahead:
            await _answer_some(response, answers, splitter.feed(chunk), service)
        await _answer_some(response, answers, splitter.finish(), service)
        await response.write_eof()
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        logger.debug("a streamed answer broke off: %s", error)
        _abort(request)
    except Exception:
        logger.exception("a streamed answer failed")
        _abort(request)
    finally:
        await ahead.close()
    return response


def _abort(request: web.Request) -> None:
    """Cut the connection: an answer that has begun can only show that it is incomplete by not ending."""
    if request.transport is not None:
        request.transport.abort()


async def _answer_some(response: web.StreamResponse, answers: Answers, lines: list[bytes], service: Service) -> None:
    for start in range(0, len(lines), BATCH):
        questions = lines[start : start + BATCH]
        encoded = [_answer_line(answers, line) for line in questions if line and not line.isspace()]
        if encoded:
            async with asyncio.timeout(PATIENCE):
                await response.write(b"\n".join([*encoded, b""]))
        _count(service, answers)
        await asyncio.sleep(0)


def _answer_line(answers: Answers, line: bytes) -> bytes:
    text = line.strip().decode("utf-8", "replace")
    if len(line) > LONGEST_LINE:
        return answers.refuse(text, f"a line may have {LONGEST_LINE} bytes")
    return answers.item(text)


def _count(service: Service, answers: Answers) -> None:
    service.row.add_at(ASKED, answers.asked)
    service.row.add_at(FOUND, answers.listed)
    answers.asked = answers.listed = 0
