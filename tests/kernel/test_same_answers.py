"""The kernel answers request bytes with the bytes of ``web.hot.HotPath``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd import Snapshot, kernel
from blocklistd.addresses import MAX6, format_address
from blocklistd.web.bodies import Answers
from blocklistd.web.hot import AnyPath, HotPath, open_path
from tests.kernel.columns import Columns
from tests.kernel.twins import using
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = (
    b"Host: blocklistd.example\r\n\r\n",
    b"Host: [2001:db8::1]:8080\r\nUser-Agent: curl/8\r\nAccept: */*\r\n\r\n",
    b"Host: x\r\nUser-Agent: " + b"u" * 1990 + b"\r\n\r\n",
)
FEEDS = {"wide": ["192.0.2.0/24", "2001:db8::/32"], "narrow": ["192.0.2.7", "2001:db8::7"]}
MOST = 64

Paths = tuple[AnyPath, AnyPath]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    """The pure path and the compiled one over the same snapshot."""
    data = tmp_path_factory.mktemp("data")
    make_snapshot(data, FEEDS)
    with using(kernel.COMPILED), Snapshot.open_current(data) as snapshot:
        pure, compiled = HotPath(snapshot, frozenset(BLOCKS)), open_path(snapshot, frozenset(BLOCKS))
        assert type(pure) is not type(compiled)
        for path in (pure, compiled):
            path.set_date(b"Sat, 21 Nov 2026 20:36:01 GMT")
        yield pure, compiled


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Answers, Answers]]:
    """Bulk answers from one snapshot, by the pure code and by the kernel."""
    data = tmp_path_factory.mktemp("data")
    make_snapshot(data, FEEDS)
    with using(kernel.PURE), Snapshot.open_current(data) as snapshot, using(kernel.COMPILED):
        pure = Answers(snapshot)
        with Snapshot.open_current(data) as other:
            yield pure, Answers(other)


texts = (
    st.ip_addresses().map(str)
    | st.sampled_from(
        [
            "192.0.2.7",
            "192.0.2.8",
            "198.51.100.1",
            "2001:db8::7",
            "2001:DB8:0:0:0:0:0:7",
            "::",
            "::1",
            "::ffff:192.0.2.7",
        ]
    )
    | st.sampled_from(["", "192.0.2.07", "x", "1" * 45, "1" * 46, "192.0.2.7?", "192.0.2.7/", "%31", "é", "192.0.2.7 "])
)
lines = st.builds(
    lambda method, text, version: method + text.encode() + version,
    st.sampled_from([b"GET /v1/ip/"] * 6 + [b"get /v1/ip/", b"HEAD /v1/ip/", b"GET /v1/ip", b"GET  /v1/ip/", b""]),
    texts,
    st.sampled_from(
        [b" HTTP/1.1\r\n"] * 6 + [b" HTTP/1.0\r\n", b"  HTTP/1.1\r\n", b" HTTP/1.1\n", b" HTTP/1.1\r\n\r\n", b""]
    ),
)
requests = st.builds(
    bytes.__add__, lines, st.sampled_from([*BLOCKS * 3, b"Host: unknown\r\n\r\n", b"\r\n", b"\r\n\r\n", b""])
)


@settings(max_examples=800, deadline=None)
@given(st.lists(requests, max_size=5).map(b"".join), st.integers(0, 300), st.binary(max_size=3))
def test_whatever_comes_is_answered_alike(paths: Paths, data: bytes, cut: int, noise: bytes) -> None:
    """Single, pipelined, cut off, damaged, oversized or unknown: the same bytes and the same numbers."""
    pure, compiled = paths
    for one in (data, data[: len(data) - cut], data[:cut] + noise + data[cut:]):
        assert compiled.answer(one) == pure.answer(one)


def test_a_long_pipeline_is_answered_in_parts(paths: Paths) -> None:
    """One call answers 64 requests, also when more are there."""
    pure, compiled = paths
    request = b"GET /v1/ip/192.0.2.7 HTTP/1.1\r\n" + BLOCKS[0]
    for count in (MOST - 1, MOST, MOST + 1, 3 * MOST):
        response, consumed, answered, listed = compiled.answer(request * count)
        assert (response, consumed, answered, listed) == pure.answer(request * count)
        assert (consumed, answered, listed) == (len(request) * min(count, MOST), min(count, MOST), min(count, MOST))


def test_every_cut_is_answered_alike(paths: Paths) -> None:
    """A request cut at every byte, alone and behind another."""
    pure, compiled = paths
    request = b"GET /v1/ip/2001:DB8::7 HTTP/1.1\r\n" + BLOCKS[1]
    for cut in range(len(request) + 1):
        for data in (request[:cut], request + request[:cut]):
            assert compiled.answer(data) == pure.answer(data)


values = st.integers(0, MAX6) | st.lists(
    st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xAB, 0xABC]), min_size=8, max_size=8
).map(lambda groups: sum(group << 16 * place for place, group in enumerate(groups)))


@settings(max_examples=500, deadline=None)
@given(values)
def test_an_address_is_written_as_rfc_5952_has_it(paths: Paths, value: int) -> None:
    """In full and in upper case, an address comes back as ``format_address`` writes it."""
    digits = f"{value:032X}"
    text = ":".join(digits[at : at + 4] for at in range(0, 32, 4))
    expected = format_address(4, value & 0xFFFFFFFF) if value >> 32 == 0xFFFF else format_address(6, value)
    request = f"GET /v1/ip/{text} HTTP/1.1\r\n".encode() + BLOCKS[0]
    for path in paths:
        body = path.answer(request)[0].partition(b"\r\n\r\n")[2]
        assert body.startswith(f'{{"ip":"{expected}",'.encode())


questions = st.lists(texts | st.none() | st.integers(-(2**63), 2**63) | st.text(max_size=9), max_size=6)


@settings(max_examples=200, deadline=None)
@given(questions, st.sampled_from([0, 1, 60, 122, 127, 128, 300]))
def test_many_are_answered_as_one_by_one(both: tuple[Answers, Answers], asked: list[object], good: int) -> None:
    """Items of a bulk request, bad ones among them, around the size of the kernel's batches."""
    pure, compiled = both
    many = ["192.0.2.7", "2001:DB8::8"] * (good // 2) + asked + ["198.51.100.1"]
    assert compiled.items(many) == pure.items(many)
    assert (compiled.asked, compiled.listed) == (pure.asked, pure.listed)


@pytest.mark.parametrize("given_tail", [None, b"", (b"x",), ("x", True), [b"x", True]])
def test_an_odd_tail_is_an_error(given_tail: object) -> None:
    """The kernel believes nothing that its callback says."""
    with using(kernel.COMPILED):
        assert kernel.active is not None
        path = kernel.active.HotPath(Columns().lookup(), frozenset(BLOCKS), lambda _: given_tail)
        with pytest.raises(TypeError):
            path.answer(b"GET /v1/ip/192.0.2.7 HTTP/1.1\r\n" + BLOCKS[0])


def test_arguments_of_another_kind_are_refused() -> None:
    """A HotPath takes a Lookup of the kernel, and bytes."""
    with using(kernel.COMPILED):
        assert kernel.active is not None
        for wrong in (None, object(), Columns()):
            with pytest.raises(TypeError):
                kernel.active.HotPath(wrong, frozenset(), len)
        path: Any = kernel.active.HotPath(Columns().lookup(), frozenset(), len)
        for data in ("text", bytearray(b"GET"), None):
            with pytest.raises(TypeError):
                path.answer(data)
            with pytest.raises(TypeError):
                path.set_date(data)


def test_a_closed_snapshot_answers_nothing() -> None:
    """Once the Lookup is closed, a request is ValueError, and so is a path over a closed Lookup."""
    with using(kernel.COMPILED):
        assert kernel.active is not None
        lookup = Columns().lookup()
        paths = [kernel.active.HotPath(lookup, frozenset(BLOCKS), lambda _: (b"", True))]
        lookup.close()
        paths.append(kernel.active.HotPath(lookup, frozenset(BLOCKS), lambda _: (b"", True)))
        for path in paths:
            with pytest.raises(ValueError, match="closed"):
                path.answer(b"GET /v1/ip/192.0.2.7 HTTP/1.1\r\n" + BLOCKS[0])
