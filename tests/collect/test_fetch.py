"""Fetching from real servers on loopback: the good answers, and every fault a list server was seen to have."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import random
import time
import zlib
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from blocklistd.collect.fetch import Fetcher, Limits
from blocklistd.collect.model import Fetched, FetchFailed, NotModified
from blocklistd.collect.state import FeedState, bodies
from blocklistd.collect.store import commit, discard, verify
from blocklistd.files import TEMPORARY
from tests.collect.servers import BODY, closed_port, list_server, make_feed, raw_server, reset

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from blocklistd.catalogue import Feed

NEVER = FeedState("made")
SHORT = Limits(connect=5, stall=0.3)


def fetcher(data: Path, **options: Any) -> Fetcher:
    return Fetcher(data, **{"environment": {}, **options})


async def fetch(
    data: Path, feed: Feed, state: FeedState = NEVER, **options: Any
) -> Fetched | NotModified | FetchFailed:
    async with fetcher(data, **options) as client:
        return await client.fetch(feed, state)


async def held(data: Path, feed: Feed, **options: Any) -> FeedState:
    """The state after a first good fetch."""
    outcome = await fetch(data, feed, **options)
    assert isinstance(outcome, Fetched), outcome
    return commit(data, NEVER, outcome.parts, durable=False)


def leftovers(data: Path) -> list[str]:
    folder = bodies(data)
    return [path.name for path in folder.glob(f"{TEMPORARY}*")] if folder.is_dir() else []


async def reason(data: Path, feed: Feed, state: FeedState = NEVER, **options: Any) -> str:
    """Why the fetch failed; nothing may be left behind by it."""
    outcome = await fetch(data, feed, state, **options)
    assert isinstance(outcome, FetchFailed), outcome
    assert leftovers(data) == []
    return outcome.reason


def responds(status: int, body: bytes = b"", **headers: str) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(request: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=body, headers=named)

    return answer


def says(*chunks: bytes, pause: float = 0.0) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(pause)

    return speak


# --- good answers -----------------------------------------------------------------------------------------------


async def test_a_list_is_brought_in_whole(tmp_path: Path) -> None:
    """A 200 gives one candidate that holds the bytes, their digest and the validators."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, BODY, ETag='"one"', Last_Modified="Sat, 21 Nov 2026 19:00:00 GMT")
        outcome = await fetch(tmp_path, make_feed(lists.url()))
    assert isinstance(outcome, Fetched)
    (part,) = outcome.parts
    assert part.path.read_bytes() == BODY
    assert (part.size, part.digest) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert (part.etag, part.last_modified) == ('"one"', "Sat, 21 Nov 2026 19:00:00 GMT")
    assert outcome.size == len(BODY)
    discard(outcome.parts)
    assert leftovers(tmp_path) == []


async def test_the_client_says_who_it_is(tmp_path: Path) -> None:
    """Every request carries an honest User-Agent and no cookies."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, BODY, Set_Cookie="visitor=1")
        feed = make_feed(lists.url())
        async with fetcher(tmp_path) as client:
            await client.fetch(feed, NEVER)
            await client.fetch(feed, NEVER)
    assert lists.requests[1].headers["User-Agent"].startswith("blocklistd/")
    assert "Cookie" not in lists.requests[1].headers


async def test_an_unchanged_list_is_asked_for_with_both_validators(tmp_path: Path) -> None:
    """Where a body is held, both validators are sent, and a 304 is a success that keeps the body."""

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("If-None-Match") == '"one"' and "If-Modified-Since" in request.headers:
            return web.Response(status=304, headers={"ETag": '"one"'})
        return web.Response(body=BODY, headers={"ETag": '"one"', "Last-Modified": "Sat, 21 Nov 2026 19:00:00 GMT"})

    async with list_server() as lists:
        lists.answers["/list"] = answer
        feed = make_feed(lists.url())
        state = await held(tmp_path, feed)
        outcome = await fetch(tmp_path, feed, state)
    assert isinstance(outcome, NotModified)
    assert outcome.parts == state.parts
    assert outcome.size == 0


async def test_the_same_bytes_again_are_not_modified(tmp_path: Path) -> None:
    """A 200 with the bytes already held changes nothing but the validators."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, BODY, ETag='"one"')
        feed = make_feed(lists.url())
        state = await held(tmp_path, feed)
        lists.answers["/list"] = responds(200, BODY, ETag='"two"')
        outcome = await fetch(tmp_path, feed, state)
    assert isinstance(outcome, NotModified)
    assert outcome.parts[0].path == state.parts[0].path
    assert outcome.parts[0].etag == '"two"'
    assert leftovers(tmp_path) == []


async def test_new_bytes_under_an_old_validator_are_new(tmp_path: Path) -> None:
    """A server that ignores conditions, or repeats its ETag over other bytes, is believed by its bytes."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, BODY, ETag='"one"')
        feed = make_feed(lists.url())
        state = await held(tmp_path, feed)
        lists.answers["/list"] = responds(200, b"203.0.113.9\n", ETag='"one"')
        outcome = await fetch(tmp_path, feed, state)
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0].path.read_bytes() == b"203.0.113.9\n"
    assert verify(state.parts[0])


@pytest.mark.parametrize("damage", ["missing", "longer", "flipped"])
async def test_a_damaged_body_is_fetched_whole(tmp_path: Path, damage: str) -> None:
    """No validator is sent for a body that is not sound any more, so the list comes in again."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, BODY, ETag='"one"')
        feed = make_feed(lists.url())
        state = await held(tmp_path, feed)
        path = state.parts[0].path
        if damage == "missing":
            path.unlink()
        else:
            path.write_bytes(BODY + b"x" if damage == "longer" else b"X" + BODY[1:])
        outcome = await fetch(tmp_path, feed, state)
        assert "If-None-Match" not in lists.requests[-1].headers
    assert isinstance(outcome, Fetched)
    assert commit(tmp_path, state, outcome.parts).parts[0].path.read_bytes() == BODY


async def test_304_without_a_body_is_a_failure(tmp_path: Path) -> None:
    """A server that answers 304 although nothing is held has given no list."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(304)
        assert await reason(tmp_path, make_feed(lists.url())) == "HTTP 304 although nothing is stored"


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        ("gzip", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])),
        ("gzip", gzip.compress(BODY) + b"\0\0\0"),
        ("deflate", zlib.compress(BODY)),
        ("deflate", zlib.compress(BODY, wbits=-15)),
    ],
    ids=["gzip", "two gzip members", "padded gzip", "deflate", "deflate without wrapping"],
)
async def test_transfer_encodings_are_taken_off(tmp_path: Path, encoding: str, wire: bytes) -> None:
    """What is stored are the bytes of the list, however they were sent."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, wire, Content_Encoding=encoding)
        outcome = await fetch(tmp_path, make_feed(lists.url()))
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0].path.read_bytes() == BODY
    assert outcome.size == len(wire)


async def test_a_packed_list_is_stored_as_it_is(tmp_path: Path) -> None:
    """A .gz file without a transfer encoding is the list; unpacking is a later stage's work."""
    packed = gzip.compress(BODY)
    async with list_server() as lists:
        lists.answers["/list.gz"] = packed
        outcome = await fetch(tmp_path, make_feed(lists.url("/list.gz")))
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0].path.read_bytes() == packed


async def test_progress_is_reported(tmp_path: Path) -> None:
    """The callback gets the feed, the bytes so far, and the announced size."""
    seen: list[tuple[str, int, int | None]] = []
    async with list_server() as lists:
        lists.answers["/list"] = BODY
        await fetch(tmp_path, make_feed(lists.url()), progress=lambda *report: seen.append(report))
    assert seen[-1] == ("made", len(BODY), len(BODY))


# --- refusals and broken transfers ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [204, 206, 300, 401, 403, 404, 410, 500, 502])
async def test_only_200_is_a_list(tmp_path: Path, status: int) -> None:
    """Every other status is a failure that names it, whatever body comes along."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(status, b"" if status == 204 else BODY)
        assert await reason(tmp_path, make_feed(lists.url())) == f"HTTP {status}"


@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_in_seconds(tmp_path: Path, status: int) -> None:
    """A server's wish to be left alone comes with the failure."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(status, Retry_After="120")
        outcome = await fetch(tmp_path, make_feed(lists.url()))
    assert outcome == FetchFailed(f"HTTP {status}", 120.0)


async def test_retry_after_as_a_date(tmp_path: Path) -> None:
    """The other form of Retry-After is a date."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(429, Retry_After=formatdate(time.time() + 600, usegmt=True))
        outcome = await fetch(tmp_path, make_feed(lists.url()))
    assert isinstance(outcome, FetchFailed)
    assert outcome.retry_after is not None
    assert 590 < outcome.retry_after <= 601


async def test_a_host_that_is_tired_is_not_asked_by_the_next_feed(tmp_path: Path) -> None:
    """After 429 with Retry-After no other feed of this run bothers the same host."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(429, Retry_After="120")
        lists.answers["/other"] = BODY
        async with fetcher(tmp_path) as client:
            await client.fetch(make_feed(lists.url()), NEVER)
            outcome = await client.fetch(make_feed(lists.url("/other"), id="other"), FeedState("other"))
        assert lists.paths == ["/list"]
    assert isinstance(outcome, FetchFailed)
    assert outcome.reason.startswith("HTTP 429 to an earlier request")
    assert outcome.retry_after is not None
    assert outcome.retry_after > 100


async def test_nobody_listens(tmp_path: Path) -> None:
    """A closed port is a refused connection."""
    assert await reason(tmp_path, make_feed(f"http://127.0.0.1:{closed_port()}/")) == "connection refused"


async def test_an_unknown_host(tmp_path: Path) -> None:
    """A name that nobody knows is said to be just that."""
    assert await reason(tmp_path, make_feed("http://list.invalid/")) == "cannot resolve host"


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path) -> None:
    """A connection on which nothing comes ends after the stall limit."""
    async with raw_server(says(b"", pause=30)) as url:
        assert await reason(tmp_path, make_feed(url), limits=SHORT) == "nothing received for 0.3 s"


async def test_a_server_that_stalls_in_the_middle_is_given_up(tmp_path: Path) -> None:
    """A body that stops coming ends after the stall limit."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n"
    async with raw_server(says(head, pause=30)) as url:
        assert await reason(tmp_path, make_feed(url), limits=SHORT) == "nothing received for 0.3 s"


async def test_a_server_that_drips_is_ended_by_the_total_time(tmp_path: Path) -> None:
    """Bytes that come one by one never stall; the feed's own time limit ends them."""
    drops = [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", *[b"1"] * 200]
    begun = time.monotonic()
    async with raw_server(says(*drops, pause=0.05)) as url:
        assert await reason(tmp_path, make_feed(url, timeout="1s")) == "timed out after 1 s"
    assert time.monotonic() - begun < 5


async def test_headers_that_drip_are_ended_too(tmp_path: Path) -> None:
    """The time limit counts from the request, not from the body."""
    drops = [b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 200]
    async with raw_server(says(*drops, pause=0.05)) as url:
        assert await reason(tmp_path, make_feed(url, timeout="1s")) == "timed out after 1 s"


async def test_endless_headers_are_refused(tmp_path: Path) -> None:
    """A header of a megabyte is no HTTP answer."""
    async with raw_server(says(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 2**20 + b"\r\n\r\n")) as url:
        assert await reason(tmp_path, make_feed(url)) == "not a valid HTTP answer"


async def test_noise_is_no_answer(tmp_path: Path) -> None:
    """A server that does not speak HTTP fails without repeating what it said."""
    async with raw_server(says(b"SSH-2.0-secret_banner\r\n")) as url:
        assert await reason(tmp_path, make_feed(url)) == "not a valid HTTP answer"


async def test_a_reset_connection(tmp_path: Path) -> None:
    """An RST in the middle of the body is a failure."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n")
        await writer.drain()
        reset(writer)

    async with raw_server(speak) as url:
        assert await reason(tmp_path, make_feed(url)) in {"cut short", "connection reset"}


async def test_a_connection_closed_at_once(tmp_path: Path) -> None:
    """A server that hangs up says nothing."""
    async with raw_server(says()) as url:
        assert await reason(tmp_path, make_feed(url)) in {
            "connection closed without an answer",
            "connection reset",
        }


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.1\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n192.0.2.1\n",
    ],
    ids=["content length", "no last chunk", "cut chunk"],
)
async def test_a_body_cut_short_is_no_list(tmp_path: Path, answer: bytes) -> None:
    """Fewer bytes than announced, or a missing end, is a failure: half a list is not used."""
    async with raw_server(says(answer)) as url:
        assert await reason(tmp_path, make_feed(url)) == "cut short"


async def test_bytes_behind_the_announced_end_are_not_part_of_the_list(tmp_path: Path) -> None:
    """A Content-Length that is too small ends the list there, as HTTP says."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n192.0.2.1\n198.51.100.1\n"
    async with raw_server(says(answer)) as url:
        outcome = await fetch(tmp_path, make_feed(url))
    if isinstance(outcome, Fetched):
        assert outcome.parts[0].path.read_bytes() == b"192.0.2.1\n"


@pytest.mark.parametrize(
    ("encoding", "wire", "expected"),
    [
        ("gzip", gzip.compress(BODY)[:-9], "cut short within its gzip transfer encoding"),
        ("gzip", BODY, "broken gzip transfer encoding"),
        ("deflate", b"\xff" * 40, "broken deflate transfer encoding"),
        ("br", BODY, "content encoding not asked for (br)"),
        ("gzip, gzip", BODY, "content encoding not asked for (unknown)"),
    ],
)
async def test_broken_transfer_encodings(tmp_path: Path, encoding: str, wire: bytes, expected: str) -> None:
    """Data that do not inflate to their end are no list."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, wire, Content_Encoding=encoding)
        assert await reason(tmp_path, make_feed(lists.url())) == expected


GOOD = [
    b'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 10\r\n\r\n192.0.2.1\n',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n192.0.2.1\n\r\n0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: /list\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 429 Too Many\r\nRetry-After: 10\r\nContent-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 30\r\n\r\n" + gzip.compress(b"192.0.2.1\n"),
]
NOISE = [b"\r\n", b"\0", b"-", b"9" * 25, b"\xff", b" ", b":", b"z", b""]


async def test_no_answer_makes_the_fetch_raise(tmp_path: Path) -> None:
    """Answers with random damage give a body or a reason in printable words, and leave no file behind."""
    chance = random.Random(2)
    for _ in range(150):
        answer = bytearray(chance.choice(GOOD))
        for _ in range(chance.randrange(1, 5)):
            place = chance.randrange(len(answer))
            answer[place : place + chance.randrange(3)] = chance.choice(NOISE)
        async with raw_server(says(bytes(answer))) as url:
            outcome = await fetch(tmp_path, make_feed(url, timeout="2s"), limits=SHORT)
        if isinstance(outcome, FetchFailed):
            assert outcome.reason.isprintable()
            assert outcome.reason.isascii()
        else:
            discard(outcome.parts)
        assert leftovers(tmp_path) == []


# --- size -------------------------------------------------------------------------------------------------------


async def test_a_list_of_just_the_allowed_size_passes(tmp_path: Path) -> None:
    """The limit itself is allowed."""
    async with list_server() as lists:
        lists.answers["/list"] = bytes(1000)
        outcome = await fetch(tmp_path, make_feed(lists.url(), max_bytes=1000))
        assert isinstance(outcome, Fetched)
        discard(outcome.parts)
        assert await reason(tmp_path, make_feed(lists.url(), max_bytes=999)) == "larger than 999"


async def test_an_endless_list_is_cut_off(tmp_path: Path) -> None:
    """Without Content-Length the bytes are counted while they come."""
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(2000):
            await response.write(bytes(2**16))
            sent += 2**16
        return response

    async with list_server() as lists:
        lists.answers["/list"] = answer
        assert await reason(tmp_path, make_feed(lists.url(), max_bytes="1MiB")) == "larger than 1MiB"
    assert sent < 64 * 2**20


async def test_an_announced_size_is_enough_to_refuse(tmp_path: Path) -> None:
    """A list that says it is too large is refused before its first byte."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"
    async with raw_server(says(head, pause=30)) as url:
        assert await reason(tmp_path, make_feed(url, max_bytes=1000)) == "larger than 1000"


async def test_padding_counts_on_the_wire(tmp_path: Path) -> None:
    """Bytes behind the end of a gzip stream are ignored, but not for ever."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(200, gzip.compress(BODY) + bytes(2**20), Content_Encoding="gzip")
        feed = make_feed(lists.url(), max_bytes="1MiB")
        assert await reason(tmp_path, feed) == "larger than 1MiB"

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(BODY))
        while True:
            writer.write(bytes(2**16))
            await writer.drain()

    async with raw_server(endless) as url:
        assert await reason(tmp_path, make_feed(url, max_bytes="1MiB")) == "larger than 1MiB"


async def test_a_bomb_is_cut_off_early(tmp_path: Path) -> None:
    """200 MB of zeros in 200 kB of gzip are inflated no further than the limit."""
    bomb = gzip.compress(bytes(200 * 2**20), compresslevel=6)
    largest = 0

    def watch(feed_id: str, size: int, total: int | None) -> None:
        nonlocal largest
        largest = max([largest, *(path.stat().st_size for path in bodies(tmp_path).iterdir())])

    async with list_server() as lists:
        lists.answers["/list"] = responds(200, bomb, Content_Encoding="gzip")
        feed = make_feed(lists.url(), max_bytes="1MiB")
        assert await reason(tmp_path, feed, progress=watch) == "larger than 1MiB"
    assert largest <= 2**20


# --- parts, fallback, mirror ------------------------------------------------------------------------------------


async def test_all_parts_come_in_their_order(tmp_path: Path) -> None:
    """A feed of several URLs gives a body for each, an empty one among them."""
    async with list_server() as lists:
        lists.answers.update({"/a": b"192.0.2.1\n", "/b": b"", "/c": b"192.0.2.3\n"})
        outcome = await fetch(tmp_path, make_feed(*(lists.url(path) for path in ("/a", "/b", "/c"))))
    assert isinstance(outcome, Fetched)
    assert [part.path.read_bytes() for part in outcome.parts] == [b"192.0.2.1\n", b"", b"192.0.2.3\n"]


async def test_an_unchanged_part_keeps_its_body(tmp_path: Path) -> None:
    """Where one of several parts is new, the others stay as they lie."""
    async with list_server() as lists:
        lists.answers.update({"/a": b"192.0.2.1\n", "/b": b"192.0.2.2\n"})
        feed = make_feed(lists.url("/a"), lists.url("/b"))
        state = await held(tmp_path, feed)
        lists.answers["/b"] = b"192.0.2.9\n"
        outcome = await fetch(tmp_path, feed, state)
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0] == state.parts[0]
    after = commit(tmp_path, state, outcome.parts)
    assert [part.path.read_bytes() for part in after.parts] == [b"192.0.2.1\n", b"192.0.2.9\n"]
    assert not state.parts[1].path.exists()


async def test_one_failing_part_fails_the_feed(tmp_path: Path) -> None:
    """The last good version stays whole, and the reason names the part."""
    async with list_server() as lists:
        lists.answers.update({"/a": b"192.0.2.1\n", "/b": b"192.0.2.2\n"})
        feed = make_feed(lists.url("/a"), lists.url("/b"))
        state = await held(tmp_path, feed)
        lists.answers.update({"/a": b"192.0.2.8\n", "/b": responds(500)})
        assert await reason(tmp_path, feed, state) == "part 2 of 2: HTTP 500"
    assert all(verify(part) for part in state.parts)


async def test_the_size_limit_is_that_of_all_parts(tmp_path: Path) -> None:
    """Parts that are small each are refused where they are too large together."""
    async with list_server() as lists:
        lists.answers.update({"/a": bytes(600), "/b": bytes(600)})
        feed = make_feed(lists.url("/a"), lists.url("/b"), max_bytes=1000)
        assert await reason(tmp_path, feed) == "larger than 1000"


async def test_a_fallback_stands_in(tmp_path: Path) -> None:
    """Where the feed's own URLs fail, the fallbacks are tried in order, and the report says so."""
    async with list_server() as lists:
        lists.answers.update({"/main": responds(503, Retry_After="60"), "/second": BODY, "/third": BODY})
        feed = make_feed(lists.url("/main"), fallback=[lists.url(path) for path in ("/first", "/second", "/third")])
        outcome = await fetch(tmp_path, feed)
    assert isinstance(outcome, Fetched)
    assert outcome.note == "HTTP 503; fallback: HTTP 404; fallback used"
    assert outcome.retry_after == 60
    assert lists.paths == ["/main", "/first", "/second"]


async def test_all_places_fail(tmp_path: Path) -> None:
    """Every place's failure is named."""
    async with list_server() as lists:
        feed = make_feed(lists.url("/main"), fallback=[lists.url("/second")])
        assert await reason(tmp_path, feed) == "HTTP 404; fallback: HTTP 404"


async def test_validators_go_only_where_they_came_from(tmp_path: Path) -> None:
    """The ETag of a fallback's body is not sent to the feed's own URL; the same bytes there change nothing."""
    async with list_server() as lists:
        lists.answers.update({"/second": responds(200, BODY, ETag='"second"')})
        feed = make_feed(lists.url("/main"), fallback=[lists.url("/second")])
        state = await held(tmp_path, feed)
        lists.answers["/main"] = responds(200, BODY, ETag='"main"')
        outcome = await fetch(tmp_path, feed, state)
        assert "If-None-Match" not in lists.requests[-1].headers
    assert isinstance(outcome, NotModified)
    assert outcome.parts[0].etag == '"main"'


async def test_a_mirror_replaces_all_places(tmp_path: Path) -> None:
    """With a mirror only <mirror>/<feed id> is asked, and it gets none of the feed's headers."""
    async with list_server() as lists, list_server() as mirror:
        mirror.answers["/lists/made"] = BODY
        feed = make_feed(lists.url("/a"), lists.url("/b"), fallback=[lists.url("/c")], headers={"Auth-Key": "k"})
        outcome = await fetch(tmp_path, feed, mirror=mirror.url("/lists"))
        assert lists.requests == []
        assert mirror.paths == ["/lists/made"]
        assert "Auth-Key" not in mirror.requests[0].headers
    assert isinstance(outcome, Fetched)
    assert len(outcome.parts) == 1


async def test_a_mirror_may_be_a_folder(tmp_path: Path) -> None:
    """A file: mirror serves a host without any network."""
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror" / "made").write_bytes(BODY)
    feed = make_feed(f"http://127.0.0.1:{closed_port()}/")
    assert isinstance(await fetch(tmp_path, feed, mirror=f"file://{tmp_path}/mirror"), Fetched)


# --- headers and secrets ----------------------------------------------------------------------------------------


async def test_headers_are_filled_from_the_environment(tmp_path: Path) -> None:
    """${NAME} in a header becomes the variable's value; user and password of the URL become authorization."""
    async with list_server() as lists:
        lists.answers["/list"] = BODY
        url = lists.url().replace("http://", "http://reader:pass%40word@")
        feed = make_feed(url, headers={"Auth-Key": "key ${LIST_KEY}", "User-Agent": "asked for"})
        await fetch(tmp_path, feed, environment={"LIST_KEY": "k-1\n"})
        headers = lists.requests[0].headers
    assert headers["Auth-Key"] == "key k-1"
    assert headers["Authorization"] == "Basic cmVhZGVyOnBhc3NAd29yZA=="
    assert headers.getall("User-Agent") == ["asked for"]


async def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    """Without its key a feed is not asked for at all."""
    async with list_server() as lists:
        feed = make_feed(lists.url(), headers={"Auth-Key": "${LIST_KEY}"})
        found = await reason(tmp_path, feed)
        assert await reason(tmp_path, feed, environment={"LIST_KEY": ""}) == found
        assert lists.requests == []
    assert found == "header Auth-Key needs the environment variable LIST_KEY, which is not set"


async def test_a_variable_cannot_smuggle_a_header(tmp_path: Path) -> None:
    """A value with a line break is refused, and not shown."""
    feed = make_feed("http://127.0.0.1:9/", headers={"Auth-Key": "${LIST_KEY}"})
    found = await reason(tmp_path, feed, environment={"LIST_KEY": "k\r\nX: 1"})
    assert found == "the environment variable LIST_KEY for header Auth-Key must be one line of ASCII"


@pytest.mark.parametrize("status", [403, 200])
async def test_no_secret_is_shown_or_stored(tmp_path: Path, status: int) -> None:
    """Neither a reason nor the stored state holds user, password, query or header values."""
    async with list_server() as lists:
        lists.answers["/list"] = responds(status, BODY)
        url = lists.url("/list?key=sesame").replace("http://", "http://reader:sesame@")
        outcome = await fetch(tmp_path, make_feed(url, headers={"Auth-Key": "sesame"}))
    assert "sesame" not in repr(outcome)
    if isinstance(outcome, Fetched):
        commit(tmp_path, NEVER, outcome.parts)
        assert "sesame" not in (bodies(tmp_path) / "made.json").read_text()


# --- many at once -----------------------------------------------------------------------------------------------


async def test_few_connections_a_host(tmp_path: Path) -> None:
    """However many feeds are fetched together, a host sees two requests at a time, and all hosts eight."""
    now = {"all": 0}
    most = {"all": 0}

    async def answer(request: web.Request) -> web.Response:
        for key in ("all", request.host):
            now[key] = now.get(key, 0) + 1
            most[key] = max(most.get(key, 0), now[key])
        await asyncio.sleep(0.02)
        for key in ("all", request.host):
            now[key] -= 1
        return web.Response(body=BODY)

    async with list_server() as lists, fetcher(tmp_path) as client:
        lists.answers["/list"] = answer
        feeds = [make_feed(lists.url(), id=f"feed_{number}") for number in range(12)]
        outcomes = await asyncio.gather(*(client.fetch(feed, FeedState(feed.id)) for feed in feeds))
    assert all(isinstance(outcome, Fetched) for outcome in outcomes)
    assert most["all"] == 2


async def test_a_cancelled_fetch_leaves_nothing(tmp_path: Path) -> None:
    """When a refresh is stopped in the middle of a body, the candidate goes with it."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n192.0.2.1\n"
    arrived = asyncio.Event()

    def arrive(*_: object) -> None:
        arrived.set()

    async with raw_server(says(head, pause=30)) as url, fetcher(tmp_path, progress=arrive) as client:
        task = asyncio.create_task(client.fetch(make_feed(url), NEVER))
        await asyncio.wait_for(arrived.wait(), 5)
        assert leftovers(tmp_path) != []
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert leftovers(tmp_path) == []
