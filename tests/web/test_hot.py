"""The pure half of the lookup protocol: request bytes to response bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.index import Snapshot
from blocklistd.web.hot import (
    END,
    GET,
    LONGEST_HEAD,
    MOST,
    NOTHING,
    VERSION,
    HotPath,
    is_beginning,
    is_harmless,
    read_head,
    refusal,
)
from tests.support import make_snapshot
from tests.web.conftest import FEEDS

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = b"Host: localhost:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n"
DATE = b"Sat, 21 Nov 2026 20:36:01 GMT"


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshot]:
    data = tmp_path_factory.mktemp("hot")
    make_snapshot(data, FEEDS)
    with Snapshot.open_current(data) as opened:
        yield opened


@pytest.fixture
def path(snapshot: Snapshot) -> HotPath:
    path = HotPath(snapshot, {BLOCK})
    path.set_date(DATE)
    return path


def ask(ip: str, block: bytes = BLOCK) -> bytes:
    return GET + ip.encode() + VERSION + block


def test_an_answer_is_a_whole_response(path: HotPath, snapshot: Snapshot) -> None:
    """Status line, headers whose length is that of the body, and the body of the route."""
    response, consumed, answered, listed = path.answer(ask("192.0.2.1"))
    head, _, body = response.partition(b"\r\n\r\n")
    assert (consumed, answered, listed) == (len(ask("192.0.2.1")), 1, 1)
    assert json.loads(body) == {"ip": "192.0.2.1", "listed": True, "feeds": ["alpha", "beta"], "snapshot": snapshot.id}
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Date: " + DATE,
        b"Server: blocklistd",
    ]


@given(st.integers(0, 2**128 - 1), st.booleans())
def test_the_length_is_that_of_the_body_for_every_address(path_of: HotPath, value: int, four: bool) -> None:
    """Short and long texts, both families, also where the canonical text differs from the question."""
    from ipaddress import IPv4Address, IPv6Address

    address = IPv4Address(value >> 96) if four else IPv6Address(value)
    for text in {str(address), address.exploded}:
        response, _, _, _ = path_of.answer(ask(text))
        head, _, body = response.partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: %d\r\n" % len(body) in head
        expected = getattr(address, "ipv4_mapped", None) or address
        assert json.loads(body)["ip"] == str(expected)


@pytest.fixture(scope="module")
def path_of(snapshot: Snapshot) -> HotPath:
    path = HotPath(snapshot, {BLOCK})
    path.set_date(DATE)
    return path


def test_a_pipeline_is_answered_as_far_as_it_is_usual(path: HotPath) -> None:
    """Whole requests in order; what is cut off, unusual or beyond one turn is left."""
    one, two = ask("192.0.2.1"), ask("203.0.113.9")
    first, second = path.answer(one)[0], path.answer(two)[0]
    assert path.answer(one + two) == (first + second, len(one + two), 2, 1)
    assert path.answer(one + two[:-1]) == (first, len(one), 1, 1)
    assert path.answer(one + ask("nonsense") + two) == (first, len(one), 1, 1)
    assert path.answer(one + ask("192.0.2.1", b"Host: other\r\n\r\n")) == (first, len(one), 1, 1)
    assert path.answer(one * (MOST + 5))[1:] == (len(one) * MOST, MOST, MOST)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\r\n", b"G", GET, ask("192.0.2.1")[:-1], ask("192.0.2.1")[1:], b"\r\n" + ask("192.0.2.1")),
        *(ask("nonsense"), ask(""), ask("192.0.2.1/24"), ask("192.0.2.1\0"), ask("192.0.2.1 "), ask(" 192.0.2.1")),
        *(ask("192.0.2.1", b"Host: other\r\n\r\n"), ask("192.0.2.1", BLOCK[:-2]), ask("192.0.2.1\r\n\r\nGET /")),
        *(GET + b"\xd9\xa3.1.1.1" + VERSION + BLOCK, GET + b"\xb9.1.1.1" + VERSION + BLOCK),
        b"POST /v1/ip/192.0.2.1" + VERSION + BLOCK,
    ],
)
def test_what_is_not_usual_is_left_alone(path: HotPath, data: bytes) -> None:
    """Nothing is answered, counted or used up."""
    assert path.answer(data) == NOTHING


@given(st.binary(max_size=300))
def test_no_bytes_are_taken_for_a_request(path_of: HotPath, data: bytes) -> None:
    """Random bytes are neither answered nor read as a head."""
    assert path_of.answer(data) == NOTHING
    assert read_head(data) is None


def test_the_longest_plain_request_is_bounded(path: HotPath) -> None:
    """Beyond the limit a head is not read, however harmless."""
    room = LONGEST_HEAD - len(ask("192.0.2.1", b"Host: a\r\nUser-Agent: \r\n\r\n"))
    fits, too_long = (ask("192.0.2.1", b"Host: a\r\nUser-Agent: %b\r\n\r\n" % (b"x" * n)) for n in (room, room + 1))
    assert read_head(fits) == ("192.0.2.1", fits.partition(VERSION)[2], len(fits))
    assert read_head(too_long) is None
    assert path.answer(too_long) == NOTHING


@pytest.mark.parametrize(
    "block",
    [
        BLOCK,
        b"Host: a\r\n\r\n",
        b"host:[2001:db8::1]:80\r\n\r\n",
        b"HOST: 192.0.2.1\r\nconnection: Keep-Alive\r\n\r\n",
        b"X-Request-Id: 1\r\nHost: a\r\nTraceParent: 00-1\r\n\r\n",
        b"Host: a\r\nAuthorization: Bearer blk_x\r\nX-Api-Key: blk_y\r\n\r\n",
    ],
)
def test_usual_headers_are_harmless(block: bytes) -> None:
    """What clients send of themselves keeps a request plain."""
    assert is_harmless(block)


@pytest.mark.parametrize(
    "block",
    [
        *(b"", b"\r\n", b"\r\n\r\n", b"Host: a", b"Host: a\r\n", b"Host: a\n\n", b"User-Agent: x\r\n\r\n"),
        *(b"Host: a\r\nHost: a\r\n\r\n", b"Host: a\r\nhost: b\r\n\r\n", b"Host:\r\n\r\n", b"Host: a b\r\n\r\n"),
        *(b"Host: a/b\r\n\r\n", b"Host: user@a\r\n\r\n", b"Host: a:\r\n\r\n", b"Host: a:123456\r\n\r\n"),
        *(b"Host: a\r\nContent-Length: 0\r\n\r\n", b"Host: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
        *(b"Host: a\r\nExpect: 100-continue\r\n\r\n", b"Host: a\r\nUpgrade: h2c\r\n\r\n"),
        *(b"Host: a\r\nConnection: close\r\n\r\n", b"Host: a\r\nConnection: keep-alive, upgrade\r\n\r\n"),
        *(
            b"Host: a\r\nCookie: a=b\r\n\r\n",
            b"Host: a\r\nProxy-Authorization: x\r\n\r\n",
            b"Host: a\r\nX-Forwarded-For: b\r\n\r\n",
        ),
        *(b"Host: a\r\nAccept: application/msgpack\r\n\r\n", b"Host: a\r\nAccept: a, b;q=1, MsgPack\r\n\r\n"),
        *(b"Host: a\r\nAccept: */*\r\nAccept: a\r\n\r\n", b"Host: a\r\nAccept: \r\n\r\n", b"Host: a\r\nAccept\r\n\r\n"),
        *(b"Host: a\r\n Accept: x\r\n\r\n", b"Host: a\r\n\tx\r\n\r\n", b"Host : a\r\n\r\n", b"Host:  a\r\n\r\n"),
        *(b"Host: a \r\n\r\n", b"Host: a\r\nAccept: a\tb\r\n\r\n", b"Host: a\r\nAccept: \xe9\r\n\r\n"),
        *(b"Host: a\r\nAccept: a\0\r\n\r\n", b"Host: a\r\nAccept: a\rb\r\n\r\n", b"Host: a\nAccept: x\r\n\r\n"),
        b"Host: a\r\nUser-Agent: " + b"x" * LONGEST_HEAD + b"\r\n\r\n",
    ],
)
def test_anything_else_is_not_harmless(block: bytes) -> None:
    """No Host, two, an odd one; bodies, upgrades, secrets, other formats, odd spelling: not plain."""
    assert not is_harmless(block)


@pytest.mark.parametrize("ip", ["192.0.2.1", "2001:db8::1", "255.255.255.255"])
def test_every_part_of_a_usual_request_is_a_beginning(ip: str) -> None:
    """Wherever the network cuts, it can be waited for; the whole is not a beginning of itself."""
    data = ask(ip)
    assert all(is_beginning(data[:cut]) for cut in range(1, len(data)))
    assert not is_beginning(data)


@given(
    st.sampled_from([ask("192.0.2.1"), ask("2001:db8::1"), ask("no")]),
    st.binary(max_size=2) | st.sampled_from([b"\r\n", b" ", b"ff", b"%", b"?", b"\r\nHost: b", b"\r\nCookie: b"]),
    st.integers(0, 120),
    st.integers(0, 3),
    st.integers(0, 120),
)
def test_what_is_waited_for_was_waited_for_all_along(
    data: bytes, damage: bytes, place: int, gone: int, cut: int
) -> None:
    """Whatever is damaged or cut off: a beginning holds no whole head, and each of its parts is one too."""
    part = (data[:place] + damage + data[place + gone :])[:cut]
    if is_beginning(part):
        assert END not in part
        assert all(is_beginning(part[:length]) for length in range(1, len(part)))


@pytest.mark.parametrize(
    "begun",
    [
        *(b"Cookie", b"cookie: a", b"Content-Length", b"Host: a\r\nHo: b", b"Host: a\r\nHost: b", b"Host:  a"),
        *(b"Host: a\r\n b", b"Host : a", b"Host: \xe9", b"Host: a\nAccept: b", b"\r\n", b"User-Agent: b\r\n\r"),
        *(b"Accept: application/msgpack\r\nHost: a\r\n\r", b"Host: " + b"a" * LONGEST_HEAD),
    ],
)
def test_what_cannot_become_plain_is_not_waited_for(begun: bytes) -> None:
    """A header that is not harmless, there twice or oddly spelt, no Host at the end, or too much of it."""
    assert not is_beginning(GET + b"192.0.2.1" + VERSION + begun)


def test_too_long_an_address_is_not_waited_for() -> None:
    """Nothing that follows can make it one."""
    assert not is_beginning(GET + b"1" * 46)


@given(st.sampled_from([400, 503]), st.text(max_size=50))
def test_a_refusal_has_its_length_and_its_sentence(status: int, detail: str) -> None:
    """Problem details as every other error; 503 says when to try again."""
    try:
        detail.encode()
    except UnicodeEncodeError:
        return
    head, _, body = refusal(status, detail, DATE).partition(b"\r\n\r\n")
    assert json.loads(body)["detail"] == detail
    assert b"Content-Length: %d" % len(body) in head.split(b"\r\n")
    assert (b"Retry-After: 5" in head.split(b"\r\n")) == (status == 503)
