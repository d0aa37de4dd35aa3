"""Whatever a client sends, the lookup protocol and aiohttp alone answer the same bytes at the same point."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import make_snapshot
from tests.web.conftest import DOMAINS, FEEDS
from tests.web.rig import Side, request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("code")

BROWSER = ("User-Agent: Mozilla/5.0 (X11)", "Accept: */*", "Accept-Encoding: gzip, br", "Connection: keep-alive")


class Pair:
    """The two sides over one snapshot, or over none."""

    def __init__(self, runner: asyncio.Runner, hot: Side, plain: Side) -> None:
        self.runner, self.hot, self.plain = runner, hot, plain

    def compare(self, *chunks: bytes) -> list[tuple[bytes, bool]]:
        """Send the same to both; they must answer, count and end alike."""

        async def both() -> tuple[list[tuple[bytes, bool]], list[tuple[bytes, bool]]]:
            before = self.hot.counts, self.plain.counts
            hot, plain = await self.hot.talk(chunks), await self.plain.talk(chunks)
            counted = [
                [now - then for now, then in zip(side.counts, past, strict=True)]
                for side, past in zip((self.hot, self.plain), before, strict=True)
            ]
            assert counted[0] == counted[1]
            return hot, plain

        hot, plain = self.runner.run(both())
        assert hot == plain
        assert self.hot.service.under_way == self.plain.service.under_way == 0
        return hot


@contextmanager
def opened(
    folder: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop], data: Path, *, guarded: bool = False
) -> Iterator[Pair]:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        hot = runner.run(Side.open(data, folder / "hot.sock", guarded=guarded))
        plain = runner.run(Side.open(data, folder / "plain.sock", plain=False, guarded=guarded))
        yield Pair(runner, hot, plain)
        runner.run(hot.close())
        runner.run(plain.close())


@pytest.fixture(scope="module", params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def pair(request: pytest.FixtureRequest, code: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    make_snapshot(folder, FEEDS, domains=DOMAINS)
    with opened(folder, request.param, folder) as both:
        both.compare(request_of_a_browser())
        yield both


def request_of_a_browser() -> bytes:
    return request("/v1/ip/192.0.2.1", *BROWSER)


QUESTIONS = [
    *("192.0.2.1", "192.0.2.200", "198.51.100.7", "203.0.113.9", "0.0.0.0", "255.255.255.255"),
    *("2001:db8::1", "2001:DB8:0::1", "2001:db8:0:0:0:0:0:1", "::", "::1", "::ffff:192.0.2.1", "::ffff:c000:201"),
    *("::192.0.2.1", "fe80::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:192.0.2.1"),
    *("1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.4:80", ":::", "fe80::1%25eth0", "[2001:db8::1]", "example"),
    *("192.0.2.0/24", "192.0.2.0%2F24", "2001%3Adb8%3A%3A1", "1.2.3.4%20", "%00", "%FF%FE", "1" * 300, "1" * 9000),
    *("", ".", "..", "../ip", "./192.0.2.1", "192.0.2.1/", "192.0.2.1/.", "192.0.2.1?a=b", "192.0.2.1?", "192.0.2.1#a"),
    *(
        "192.0.2.1;a",
        "a b",
        "'1.2.3.4'",
        '"',
        "-",
        "_",
        "~",
        "1.2.3.4-1.2.3.5",
        "0x7f000001",
        "3221225985",
        "\x80",
        "é",
    ),
]
LINES = [
    *(
        "HTTP/1.0",
        "HTTP/1.2",
        "HTTP/2.0",
        "HTTP/0.9",
        "http/1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/1.10",
        "",
        "HTTP/1.1x",
    ),
]
HEADERS = [
    *("Host: other", "host: localhost", "Host:", "Host: a b", "HOST : a", " Host: a", "Hos\x00t: a", "Host: a\x00b"),
    *("Content-Length: 0", "Content-Length: 5", "Content-Length: -1", "Content-Length: 0, 0", "Content-Length: +0"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: identity", "Transfer-Encoding:\x0bchunked", "TE: trailers"),
    *("Connection: close", "Connection: Keep-Alive", "Connection: keep-alive, close", "Connection: upgrade"),
    *("Connection: \tkeep-alive", "Connection: keep-alive ", "Connection:keep-alive", "Connection:  keep-alive"),
    *("Upgrade: websocket", "Upgrade: h2c", "Expect: 100-continue", "Expect: nothing", "HTTP2-Settings: AAA"),
    *("Accept: application/msgpack", "Accept: */*", "Accept: application/msgpack;q=0", "Accept: APPLICATION/MSGPACK"),
    *("Accept:", "Accept: a, b", "Accept-Encoding: gzip", "Accept-Encoding: identity;q=0", "Accept-Language: de"),
    *("User-Agent: x", "User-Agent: \xe9", "User-Agent: a\tb", "user-agent: y", "User-Agent: a\rb", "User-Agent: a\nb"),
    *("Cookie: a=b", "Authorization: Bearer x", "X-Request-Id: 7", "traceparent: 00-1-2-03", "Range: bytes=0-3"),
    *(
        "If-None-Match: *",
        "If-Modified-Since: Sat, 21 Nov 2026 20:36:01 GMT",
        "Sec-WebSocket-Key1: a",
        "Proxy-Connection: close",
    ),
    *(
        " folded: x",
        "\tfolded",
        "no colon",
        ": no name",
        "Bad Name: x",
        "Ba(d: x",
        "X-Long: " + "a" * 9000,
        "Cache-Control: no-cache",
    ),
    *(
        "X-Http-Method-Override: DELETE",
        "Forwarded: for=1",
        "Keep-Alive: timeout=5",
        "Pragma: no-cache",
        "DNT: 1",
        "Trailer: a",
    ),
]


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_gets_the_same_answer(pair: Pair, question: str) -> None:
    """Addresses, mistakes and odd paths, each alone and between two plain requests."""
    pair.compare(request(f"/v1/ip/{question}", *BROWSER))
    pair.compare(request_of_a_browser() + request(f"/v1/ip/{question}", *BROWSER) + request_of_a_browser())


@pytest.mark.parametrize("version", LINES)
def test_every_version_gets_the_same_answer(pair: Pair, version: str) -> None:
    """Only the very words HTTP/1.1 are plain."""
    pair.compare(request("/v1/ip/192.0.2.1", *BROWSER, version=version))


@pytest.mark.parametrize("header", HEADERS)
def test_every_header_gets_the_same_answer(pair: Pair, header: str) -> None:
    """Each header first, last and twice; then something that could be a body, a chunk or a second request."""
    first = request("/v1/ip/192.0.2.1", header, "Accept-Language: en")
    last = request("/v1/ip/192.0.2.1", "Accept-Language: en", header)
    twice = request("/v1/ip/192.0.2.1", header, header)
    for one in (first, last, twice):
        pair.compare(one)
        pair.compare(one, b"0\r\n\r\n", request_of_a_browser())
        pair.compare(request_of_a_browser() + one + b"hello" + request_of_a_browser())


@pytest.mark.parametrize(
    "stream",
    [
        request_of_a_browser(),
        request_of_a_browser() * 2,
        request("/v1/ip/2001:db8::1"),
        request("/v1/ip/nonsense", *BROWSER),
        request("/healthz") + request_of_a_browser(),
        request_of_a_browser() + request("/nowhere"),
        b"POST /v1/ip HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n"
        b'["192.0.2.1"]' + request_of_a_browser(),
        request("/v1/ip/192.0.2.1", "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\nGET /",
        b"\r\n" + request_of_a_browser(),
        b"GET /v1/ip/192.0.2.1\r\n\r\nGET /v1/ip/192.0.2.2 HTTP/1.1\r\nHost: a\r\n\r\n",
        request_of_a_browser().replace(b"\r\n", b"\n"),
    ],
    ids=range(11),
)
def test_a_cut_at_any_byte_changes_nothing(pair: Pair, stream: bytes) -> None:
    """In two parts at every byte, what comes back after each part is what aiohttp gives at that point."""
    whole = pair.compare(stream)
    for cut in range(1, len(stream)):
        parts = pair.compare(stream[:cut], stream[cut:])
        if not parts[0][1]:
            assert (parts[0][0] + parts[1][0], parts[1][1]) == whole[0]


def test_a_pipeline_longer_than_a_turn_is_answered_in_order(pair: Pair) -> None:
    """Hundreds of requests in one packet, some plain and some not, come back complete and in order."""
    plain = [request(f"/v1/ip/192.0.2.{number % 256}", *BROWSER) for number in range(300)]
    ((came, ended),) = pair.compare(b"".join(plain))
    assert [f'"192.0.2.{n % 256}"'.encode() in part for n, part in enumerate(came.split(b"HTTP/1.1 200 OK")[1:])] == [
        True
    ] * 300
    assert not ended
    pair.compare(b"".join(plain[:200]) + request("/v1/ip/wrong", *BROWSER) * 70 + b"".join(plain[:3]))
    pair.compare(b"".join(plain[:130]) + request("/healthz") + b"".join(plain[:3]) + request("/", "Connection: close"))


REQUESTS = st.one_of(
    st.just(request_of_a_browser()),
    st.builds(lambda q, h: request(f"/v1/ip/{q}", *h), st.sampled_from(QUESTIONS), st.sampled_from([(), BROWSER])),
    st.builds(
        lambda q, h: request(f"/v1/ip/{q}", *h),
        st.sampled_from(QUESTIONS[:17]),
        st.lists(st.sampled_from([*BROWSER, *HEADERS]), max_size=4),
    ),
    # routes that answer without a thread: only of those it is known when nothing more is coming
    st.sampled_from(["/healthz", "/", "/nowhere", "/v1/ip"]).map(request),
    st.just(b"POST /v1/ip HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n192.0.2.1"),
    st.sampled_from([b"HEAD", b"get", b"OPTIONS", b"GET ", b" GET", b"PRI", b"\x16\x03\x01"]).map(
        lambda method: method + request_of_a_browser()[3:]
    ),
    st.just(b"GET http://localhost/v1/ip/192.0.2.1 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
)
BITS = st.one_of(
    st.sampled_from(
        [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b"%", b"?", b"/", b"\x80", b"\xff", b"\r\n\r\n", b"0"]
    ),
    st.binary(min_size=1, max_size=3),
)


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """One to four requests, now and then damaged somewhere, in one to three parts."""
    stream = b"".join(draw(st.lists(REQUESTS, min_size=1, max_size=4)))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2]))):
        place = draw(st.integers(0, len(stream)))
        gone = draw(st.integers(0, 3))
        stream = stream[:place] + draw(st.one_of(st.just(b""), BITS)) + stream[place + gone :]
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=2)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    return [part for part in parts if part] or [b"\r\n"]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(conversations())
def test_no_conversation_tells_the_two_apart(pair: Pair, conversation: Sequence[bytes]) -> None:
    """Generated, damaged and cut requests: same bytes after each part, same end, same counts."""
    pair.compare(*conversation)


def test_without_a_snapshot_both_say_so(tmp_path: Path) -> None:
    """503 before the first snapshot, for good and bad addresses, whole and pipelined."""
    with opened(tmp_path, uvloop.new_event_loop, tmp_path) as pair:
        ((came, ended),) = pair.compare(request_of_a_browser() * 3)
        assert came.count(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n") == 3
        assert not ended
        pair.compare(request("/v1/ip/nonsense") + request_of_a_browser() + request("/readyz"))
        make_snapshot(tmp_path, FEEDS)
        for side in (pair.hot, pair.plain):
            side.service.cell.poll()
        ((came, _),) = pair.compare(request_of_a_browser() * 2)
        assert came.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_while_draining_both_end_with_the_next_answer(
    tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """The next answer says Connection: close, what was piped behind it is not answered."""
    make_snapshot(tmp_path, FEEDS)
    with opened(tmp_path, loop_factory, tmp_path) as pair:
        pair.compare(request_of_a_browser())
        for side in (pair.hot, pair.plain):
            side.service.draining = True
        for stream in (request_of_a_browser(), request_of_a_browser() * 3, request("/v1/ip/nonsense")):
            ((came, ended),) = pair.compare(stream)
            assert came.count(b"\r\nConnection: close\r\n") == came.count(b"HTTP/1.1 ") == 1
            assert ended


def test_an_error_inside_is_a_500_of_aiohttp(tmp_path: Path) -> None:
    """A snapshot that cannot be asked any more gives the 500 of the route, not a broken connection."""
    make_snapshot(tmp_path, FEEDS)
    with opened(tmp_path, uvloop.new_event_loop, tmp_path) as pair:
        pair.compare(request_of_a_browser())
        for side in (pair.hot, pair.plain):
            assert side.service.cell.snapshot is not None
            side.service.cell.snapshot.close()
        ((came, _),) = pair.compare(request("/v1/ip/203.0.113.9", *BROWSER))
        assert came.startswith(b"HTTP/1.1 500 ")
