"""Many questions in one request.

POST /v1/ip takes a JSON array or ``{"ips": […]}`` of at most ``MOST_ITEMS`` texts and gives an array in the same order,
or takes text lines in any number and gives a JSON object a line, streamed. Either way other requests get their turn
after every ``BATCH`` answers, and a bad question is answered with its reason.

Lines are answered while they arrive. A caller that reads no answer before it has sent everything is served up to
``AHEAD`` bytes of questions; beyond that it must read as it writes.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import web

from blocklistd import kernel
from blocklistd.web.ahead import ReadAhead
from blocklistd.web.api import ASKED, FOUND, wants_msgpack
from blocklistd.web.bodies import JSON, MSGPACK, NDJSON, Answering, Answers, join, part
from blocklistd.web.keys import SERVICE
from blocklistd.web.lines import LONGEST_LINE, LineSplitter
from blocklistd.web.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from blocklistd.web.service import Service

logger = logging.getLogger(__name__)


MOST_ITEMS: Final = 50_000
TOO_MANY: Final = f"One request may ask {MOST_ITEMS:,} addresses; send text/plain lines for more."
MOST_BYTES: Final = 4 * 2**20
"""Largest JSON body: 50,000 IPv6 addresses with quotes and blanks fit twice."""
BATCH: Final = 500
"""Answers between two pauses, about half a millisecond."""
BLANKS: Final = " \t\r\v\f"
AHEAD: Final = 8 * 2**20
PATIENCE: Final = 60.0
"""Seconds without a byte in either direction after which a caller is given up."""


async def post_ips(request: web.Request) -> web.StreamResponse:
    """Which feeds name each of many addresses."""
    service = request.app[SERVICE]
    snapshot = service.snapshot
    if takes_lines(request):
        await _import_numpy()
        answers = Answers(snapshot)
        return await answer_lines(request, answers, partial(_count, service, answers))
    questions = await read_questions(request)
    packed = wants_msgpack(request)
    answers = Answers(snapshot, packed=packed)
    await _import_numpy()
    parts: list[bytes] = []
    for start in range(0, len(questions), BATCH):
        async with service.turn:
            parts.append(part(answers.items(questions[start : start + BATCH]), packed=packed))
            await asyncio.sleep(0)
    _count(service, answers)
    return web.Response(body=join(parts, len(questions), packed=packed), content_type=MSGPACK if packed else JSON)


def takes_lines(request: web.Request) -> bool:
    """Whether the body is lines (True) or JSON (False); raises RequestRefused (415) for anything else."""
    if request.content_type not in {"text/plain", JSON}:
        raise RequestRefused(
            415,
            f"Send {JSON} (an array of addresses) or text/plain (one a line), not {request.content_type}.",
            {"Accept-Post": f"{JSON}, text/plain"},
        )
    return request.content_type == "text/plain"


async def read_questions(request: web.Request, key: str = "ips") -> list[Any]:
    """The items of a JSON body, of any type; key: of the array in an object. Raises RequestRefused."""
    return _read_questions(await _read_body(request), key)


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


def _read_questions(body: bytes, key: str) -> list[Any]:
    if body.count(b",") > 2 * MOST_ITEMS:  # reading millions of values to count them would hold up the others
        raise RequestRefused(413, TOO_MANY)
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(400, f"The body is not JSON: {error}.") from None
    questions = document.get(key) if isinstance(document, dict) else document
    if not isinstance(questions, list):
        raise RequestRefused(400, f'The body must be an array of addresses, or an object {{"{key}": […]}} with one.')
    if len(questions) > MOST_ITEMS:
        raise RequestRefused(413, TOO_MANY)
    return questions


async def answer_lines(
    request: web.Request, answers: Answering, count: Callable[[], None], batch: int = BATCH
) -> web.StreamResponse:
    """Stream an answer a line, ``batch`` at a time; ``count`` is called after each."""
    turn = request.app[SERVICE].turn

    async def pieces() -> AsyncGenerator[bytes]:
        splitter = LineSplitter()
        ahead = ReadAhead(request.content, ahead=AHEAD, patience=PATIENCE)
        try:
            async for chunk in ahead:
                lines = splitter.feed(chunk)
                for start in range(0, len(lines), batch):
                    async with turn:
                        piece = _answer_batch(answers, lines[start : start + batch])
                        await asyncio.sleep(0)
                    yield piece
                    count()
            if lines := splitter.finish():
                yield _answer_batch(answers, lines)
                count()
        finally:
            await ahead.close()

    return await stream(request, NDJSON, pieces())


async def stream(request: web.Request, content_type: str, pieces: AsyncGenerator[bytes]) -> web.StreamResponse:
    """Write pieces as they come; whatever goes wrong then ends the connection."""
    response = web.StreamResponse(headers={"Content-Type": content_type})
    try:
        async with aclosing(pieces):
            await response.prepare(request)
            async for piece in pieces:
                async with asyncio.timeout(PATIENCE):
                    await response.write(piece)
        await response.write_eof()
    except (TimeoutError, ConnectionError, web.RequestPayloadError) as error:
        logger.debug("a streamed answer broke off: %s", error)
        _abort(request)
    except Exception:
        logger.exception("a streamed answer failed")
        _abort(request)
    return response


async def _import_numpy() -> None:
    """The pure code looks many up with numpy; importing it takes a tenth of a second that others need not wait for."""
    if kernel.active is None and "numpy" not in sys.modules:
        await asyncio.to_thread(importlib.import_module, "numpy")


def _abort(request: web.Request) -> None:
    """Cut the connection: an answer that has begun can only show that it is incomplete by not ending."""
    if request.transport is not None:
        request.transport.abort()


def _answer_batch(answers: Answering, lines: list[bytes]) -> bytes:
    """The answers to lines, each with its line end; blank lines have none."""
    texts = [text for line in b"\n".join(lines).decode("utf-8", "replace").split("\n") if (text := line.strip(BLANKS))]
    if max(map(len, lines)) <= LONGEST_LINE:
        encoded = answers.items(texts)
    else:
        full = [line for line in lines if line and not line.isspace()]
        encoded = [
            answers.item(text)
            if len(line) <= LONGEST_LINE
            else answers.refuse(text, f"a line may have {LONGEST_LINE} bytes")
            for line, text in zip(full, texts, strict=True)
        ]
    return b"\n".join([*encoded, b""]) if encoded else b""


def _count(service: Service, answers: Answers) -> None:
    service.row.add_at(ASKED, answers.asked)
    service.row.add_at(FOUND, answers.listed)
    answers.asked = answers.listed = 0
