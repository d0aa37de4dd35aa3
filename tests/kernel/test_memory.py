"""The kernel keeps no reference and no byte that it should not."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from blocklistd import kernel
from blocklistd.addresses import parse_address
from blocklistd.collect.ranges import scan_lines
from tests.kernel.columns import Columns, unsigned
from tests.kernel.twins import outcome, using

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 100_000


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> Iterator[None]:
    with using(kernel.COMPILED):
        yield


def hot_path(known: object = frozenset({b"Host: x\r\n\r\n"}), tail_of: Any = None) -> Any:
    assert kernel.active is not None
    path = kernel.active.HotPath(Columns().lookup(), known, tail_of or (lambda listing: (b'"}', bool(listing.feeds))))
    path.set_date(b"now")
    return path


REQUEST = b"GET /v1/ip/192.0.2.1 HTTP/1.1\r\nHost: x\r\n\r\n"

CALLS: dict[str, Callable[[], Callable[[], object]]] = {
    "address": lambda: partial(parse_address, "2001:db8::7:7"),
    "no address": lambda: partial(outcome, parse_address, "2001:db8::7:g"),
    "lookup": lambda: partial(Columns().lookup().lookup, "2001:db8::7"),
    "refusal": lambda: partial(outcome, Columns().lookup().lookup, "nonsense"),
    "other type": lambda: partial(Columns().lookup().lookup, 2**127),
    "request": lambda: partial(hot_path().answer, REQUEST),
    "pipeline": lambda: partial(hot_path().answer, REQUEST * 3 + b"GET"),
    "date": lambda: partial(hot_path().set_date, b"later"),
}
MANY: dict[str, Callable[[], Callable[[], object]]] = {
    "lines": lambda: partial(scan_lines, b"192.0.2.1\nodd\n" * 50),
    "bad lines": lambda: partial(outcome, scan_lines, b"192.0.2.1"),
    "many": lambda: partial(Columns().lookup().lookup_many, ["192.0.2.1", 7, "::"] * 50),
    "many refused": lambda: partial(outcome, Columns().lookup().lookup_many, ["192.0.2.1"] * 150 + ["x"]),
    "integers": lambda: partial(Columns().lookup().lookup_many_integers, unsigned(range(300))),
    "items": lambda: partial(hot_path().items, ["192.0.2.1", None, "x", "::"] * 50),
    "items refused": lambda: partial(outcome, hot_path(tail_of=lambda _: None).items, ["192.0.2.1"] * 300),
    "path": lambda: partial(one_answer, Columns().lookup()),
    "object": lambda: partial(Columns.lookup, Columns()),
    "bad object": lambda: partial(outcome, broken, Columns()),
    "bad resolve": lambda: partial(outcome, Columns().lookup(lambda _: (4, 2**40)).lookup, None),
    "bad tail": lambda: partial(outcome, hot_path(tail_of=lambda _: (b"",)).answer, REQUEST),
    "bad request": lambda: partial(outcome, hot_path(known=7).answer, REQUEST * 2),
}


def one_answer(lookup: Any) -> object:
    """An answer from a path of its own, with an end of its own."""
    assert kernel.active is not None
    path = kernel.active.HotPath(lookup, {b"Host: x\r\n\r\n"}, lambda listing: (repr(listing.feeds).encode() * 9, True))
    return path.answer(REQUEST)


def broken(columns: Columns) -> object:
    """A Lookup whose last column does not fit."""
    assert kernel.active is not None
    four = (*columns.four, columns.listings4, columns.make4)
    return kernel.active.Lookup(four, (*columns.six[:3], np.zeros(1, np.uint16), columns.listings6, columns.make6), len)


def growth(call: Callable[[], object], rounds: int) -> int:
    """Bytes that so many calls leave behind."""
    for _ in range(50):
        call()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(10):
            call()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(rounds):
            call()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


@pytest.mark.parametrize("name", CALLS)
def test_a_hundred_thousand_calls_leave_nothing(name: str) -> None:
    """Memory after 100,000 calls, answered or refused, is memory before."""
    assert growth(CALLS[name](), ROUNDS) < ROUNDS / 5  # not a byte a call


@pytest.mark.parametrize("name", MANY)
def test_calls_about_many_leave_nothing(name: str) -> None:
    """The same for calls that do much, 500 of them."""
    assert growth(MANY[name](), 500) < 500 * 8  # not an object a call


def test_references_to_what_is_shared_stay_as_many() -> None:
    """Listings, lists, buffers and callables are not held longer than the answers and the Lookup."""
    columns = Columns()
    listing = columns.make4(1)
    columns.listings4[1] = listing
    known = {b"Host: x\r\n\r\n"}
    shared: list[Any] = [listing, columns.listings4, columns.four[1], columns.six[0], known, None, REQUEST]

    def counts() -> list[int]:
        return [sys.getrefcount(one) for one in shared]

    before = counts()
    lookup = columns.lookup()
    assert kernel.active is not None
    path = kernel.active.HotPath(lookup, known, lambda _: (b'"}', True))
    for _ in range(1000):
        lookup.lookup("192.0.2.1")
        lookup.lookup_many(["192.0.2.1", "10.0.0.1"] * 70)
        path.answer(REQUEST)
    lookup.close()
    del path, lookup
    after = counts()
    assert [a - b for a, b in zip(after, before, strict=True) if abs(a - b) > 5] == []
    assert after[0] == before[0]
    assert after[2] == before[2]


def test_a_cycle_through_a_callback_is_collected() -> None:
    """A Lookup and a HotPath that their own callbacks hold go when the garbage collector comes."""

    class Callback:
        holds: object = None

        def __call__(self, question: object) -> Any:
            return self.holds, question

    callback = Callback()
    gone = weakref.ref(callback)
    lookup = Columns().lookup(callback)
    assert kernel.active is not None
    callback.holds = kernel.active.HotPath(lookup, frozenset(), callback)
    del callback, lookup
    gc.collect()
    assert gone() is None
