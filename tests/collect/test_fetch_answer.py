"""Reading answers without any socket: encodings, Retry-After, validators, sources, words for trouble."""

from __future__ import annotations

import gzip
import ssl
import zlib
from contextlib import suppress
from email.utils import formatdate
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.collect.answer import PIECE, Decoder, FetchError, retry_after, validator
from blocklistd.collect.sources import Source, digest_of, hosts_of, proxy_for, sources
from blocklistd.collect.trouble import connection_trouble, http_trouble
from tests.collect.servers import make_feed

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_795_000_000.0


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-15)


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw": raw_deflate,
}


@given(
    st.sampled_from(sorted(ENCODERS)),
    st.one_of(st.binary(max_size=500), st.integers(0, 3 * PIECE).map(bytes)),
    st.lists(st.integers(1, 50), max_size=20),
)
def test_any_cutting_into_chunks_gives_the_same_bytes(name: str, body: bytes, cuts: list[int]) -> None:
    """However an answer is cut on its way, its body is the same, in pieces of bounded size."""
    wire = ENCODERS[name](body)
    decoder = Decoder("deflate" if name == "raw" else name)
    pieces: list[bytes] = []
    for cut in cuts:
        pieces += decoder.feed(wire[:cut])
        wire = wire[cut:]
    pieces += decoder.feed(wire)
    decoder.finish()
    assert b"".join(pieces) == body
    if name != "identity":
        assert all(len(piece) <= PIECE for piece in pieces)


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_nothing_is_held_back_at_the_border_of_a_piece(name: str) -> None:
    """Bodies a little longer than a piece come out whole: zlib may owe bytes when all its input is read."""
    for size in (PIECE, 2 * PIECE, *range(PIECE - 2, PIECE + 300, 7)):
        decoder = Decoder("deflate" if name == "raw" else name)
        body = b"".join(decoder.feed(ENCODERS[name](bytes(size))))
        decoder.finish()
        assert len(body) == size


@given(st.binary(min_size=1, max_size=300), st.data())
def test_a_cut_encoding_is_noticed(body: bytes, data: st.DataObject) -> None:
    """Whatever is missing at the end, it is an error; nothing at all is an empty body."""
    wire = gzip.compress(body)
    kept = data.draw(st.integers(1, len(wire) - 1))
    decoder = Decoder("gzip")
    list(decoder.feed(wire[:kept]))
    with pytest.raises(FetchError, match="cut short"):
        decoder.finish()
    Decoder("gzip").finish()


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_noise_never_crashes_the_decoder(wire: bytes, encoding: str) -> None:
    """Any bytes give a body or a FetchError."""
    decoder = Decoder(encoding)
    with suppress(FetchError):
        list(decoder.feed(wire))
        decoder.finish()


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 0 ", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        ("1.5", None),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Thu, 01 Jan 1970 00:00:00 -0000", 0.0),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """Both forms are read, nonsense is ignored, the past is now."""
    assert retry_after(value, NOW) == seconds


@given(st.text(max_size=50))
def test_retry_after_is_total(value: str) -> None:
    """No text makes it raise, and no answer is negative."""
    seconds = retry_after(value, NOW)
    assert seconds is None or seconds >= 0


def test_validators_worth_keeping() -> None:
    """Empty, huge and unprintable validators are not sent back."""
    assert validator(' "a" ') == '"a"'
    assert [validator(value) for value in (None, "", " ", "x" * 1025, '"a\x00"')] == [None] * 5


def test_sources_in_order() -> None:
    """Own URLs first, each fallback stands for the whole list, a mirror for all of them but local ones."""
    feed = make_feed("https://a.example/1", "https://a.example/2", fallback=["https://b.example/x"])
    own = Source(("https://a.example/1", "https://a.example/2"), "")
    assert sources(feed) == (own, Source(("https://b.example/x",), "fallback"))
    assert sources(feed, "http://m.example") == (Source(("http://m.example/made",), "mirror"),)
    local = make_feed("file:///etc/list")
    assert sources(local, "http://m.example") == sources(local)


def test_digests_and_hosts_stand_for_urls() -> None:
    """Digests tell URLs apart by all of their parts; hosts are named once, without login, port and case."""
    assert digest_of(["https://lists.example/?key=1"]) != digest_of(["https://lists.example/?key=2"])
    assert hosts_of(["https://me@B.example/", "http://a.example:81/", "file:///x", "https://b.example/y"]) == (
        "",
        "a.example",
        "b.example",
    )


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"http_proxy": "http://p:1"}, "http://p:1"),
        ({"HTTP_PROXY": "p:1"}, "http://p:1"),
        ({"https_proxy": "http://p:1"}, None),
        ({"ALL_PROXY": "http://p:1"}, "http://p:1"),
        ({"http_proxy": "http://p:1", "no_proxy": "*"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "x, Lists.Example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": ".example"}, None),
        ({"http_proxy": "http://p:1", "no_proxy": "ists.example,,"}, "http://p:1"),
    ],
)
def test_proxies_from_the_environment(environment: dict[str, str], expected: str | None) -> None:
    """The usual variables in either case, and no_proxy by whole labels."""
    assert proxy_for("http", "lists.example", environment) == expected


def test_trouble_with_certificates_is_named() -> None:
    """A certificate that does not verify gives the library's reason, other failures a plain word."""
    key = ConnectionKey("lists.example", 443, True, True, None, None, None)
    refused = ssl.SSLCertVerificationError(1, "certificate verify failed")
    refused.verify_message = "certificate has expired"
    found = http_trouble(aiohttp.ClientConnectorCertificateError(key, refused), 1, 1)
    assert found == "TLS: certificate has expired"
    assert http_trouble(aiohttp.ClientConnectorSSLError(key, OSError()), 1, 1) == "TLS: handshake failed"
    assert http_trouble(aiohttp.ClientConnectionError(), 1, 1) == "the HTTP client gave up (ClientConnectionError)"
    assert connection_trouble(OSError(113, "No route to host")) == "host unreachable"
    assert connection_trouble(OSError("Multiple exceptions")) == "connection failed"
