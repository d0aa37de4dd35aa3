"""The kernel finds what a linear scan finds, and no column, question or callback can make it read elsewhere."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd import BadAddress, Snapshot, kernel
from tests.kernel.columns import GLOBAL6, Columns, unsigned
from tests.kernel.twins import outcome, using
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> Iterator[None]:
    with using(kernel.COMPILED):
        yield


def unique_starts(most: int, near: list[int]) -> st.SearchStrategy[list[int]]:
    close = st.builds(lambda base, step: min(max(base + step, 1), most), st.sampled_from(near), st.integers(-3, 3))
    return st.lists(close | st.integers(1, most), max_size=30).map(lambda found: sorted({0, *found}))


starts4 = unique_starts(2**32 - 1, [1, 2**16, 0xC0000200, 2**32 - 1])
starts6 = unique_starts(
    2**128 - 1, [1, 2**64, GLOBAL6, GLOBAL6 + 2**108, GLOBAL6 + 2**64, GLOBAL6 + 2**124, 2**128 - 1]
)


def edges(starts: list[int], most: int) -> list[int]:
    return sorted({v for start in starts for v in (start - 1, start, start + 1) if 0 <= v <= most} | {most})


@settings(max_examples=60, deadline=None)
@given(starts4, starts6, st.booleans())
def test_every_edge_is_found(four: list[int], six: list[int], wide: bool) -> None:
    """Singly, in bulk and from integers, around the start of every segment."""
    columns = Columns(four, six, wide)
    lookup = columns.lookup()
    questions: list[Any] = []
    expected = []
    for value in edges(four, 2**32 - 1):
        expected += [columns.expected(4, value)] * 4
        questions += [str(ipaddress.IPv4Address(value)), value, ipaddress.IPv4Address(value)]
        questions.append(f"::ffff:{ipaddress.IPv4Address(value)}")
    for value in edges(six, 2**128 - 1):
        if value >> 32 != 0xFFFF:
            expected += [columns.expected(6, value)] * 2
            questions += [str(ipaddress.IPv6Address(value)), ipaddress.IPv6Address(value)]
    assert [lookup.lookup(question).feeds for question in questions] == expected
    assert [listing.feeds for listing in lookup.lookup_many(questions)] == expected
    assert [listing.feeds for listing in lookup.lookup_many(tuple(questions))] == expected
    values = edges(four, 2**32 - 1)
    found = lookup.lookup_many_integers(unsigned(values))
    assert [listing.feeds for listing in found] == [columns.expected(4, value) for value in values]


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 1000])
def test_batches_of_every_size_keep_their_order(count: int) -> None:
    """Both families mixed, around the size of the kernel's own batches."""
    columns = Columns(range(0, 2**32, 2**22), [0, *range(GLOBAL6, GLOBAL6 + 2**120, 2**112)])
    questions: list[Any] = [
        index * 7919 % 2**32 if index % 3 else ipaddress.IPv6Address(GLOBAL6 + index * 2**111) for index in range(count)
    ]
    lookup = columns.lookup()
    assert lookup.lookup_many(questions) == [lookup.lookup(question) for question in questions]


def test_a_listing_is_made_once_and_shared() -> None:
    """The list of listings is read and ``make`` is called for its gaps alone."""
    columns = Columns([0, 5, 9])
    lookup = columns.lookup()
    assert lookup.lookup(6) == lookup.lookup_many([7, 8])[1]
    assert lookup.lookup("0.0.0.5") is columns.listings4[1]
    assert columns.made == [1]


odd_questions = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.binary(max_size=5),
    st.sampled_from([-1, 2**32, 2**128 - 1, 2**128, 0xFFFF << 32, "192.0.2.07", "fe80::1%1", "\udcff", (), [1]]),
)  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Snapshot, Snapshot]]:
    """The same snapshot, opened by the pure code and by the kernel."""
    data: Path = tmp_path_factory.mktemp("data")
    make_snapshot(
        data, {"wide": ["0.0.0.0-0.0.0.9", "192.0.2.0/24", "2001:db8::/32", "::/120"], "narrow": ["192.0.2.7"]}
    )
    with using(kernel.PURE):
        pure = Snapshot.open_current(data)
    with pure, Snapshot.open_current(data) as compiled:
        yield pure, compiled


@settings(max_examples=300, deadline=None)
@given(st.lists(odd_questions, min_size=1, max_size=4), st.integers(0, 80))
def test_odd_questions_get_the_same_answer_or_the_same_refusal(
    both: tuple[Snapshot, Snapshot], questions: list[Any], good: int
) -> None:
    """Whatever is asked, alone or behind good questions, in number above and below every batch."""
    pure, compiled = both
    for question in questions:
        assert outcome(compiled.lookup, question) == outcome(pure.lookup, question)
    many = ["192.0.2.7"] * good + questions
    assert outcome(compiled.lookup_many, many) == outcome(pure.lookup_many, many)


def test_a_closed_snapshot_refuses_every_question(tmp_path: Path) -> None:
    """After ``close`` both twins raise ValueError, whatever is asked, and closing again does nothing."""
    make_snapshot(tmp_path, {"feed": ["192.0.2.1", "2001:db8::1"]})
    for choice in kernel.CHOICES:
        with using(choice):
            snapshot = Snapshot.open_current(tmp_path)
        snapshot.close()
        snapshot.close()
        for question in ("192.0.2.1", "2001:db8::1", 5):
            with pytest.raises(ValueError, match="closed"):
                snapshot.lookup(question)
        with pytest.raises(ValueError, match="closed"):
            snapshot.lookup_many(["192.0.2.1"] * 200)
        with pytest.raises(ValueError, match="closed"):
            snapshot.lookup_many_integers(unsigned([1]))
        with pytest.raises(BadAddress):
            snapshot.lookup("nonsense")


def test_a_snapshot_that_nobody_holds_is_unmapped(tmp_path: Path) -> None:
    """Without ``close`` and without the garbage collector: no cycle keeps a snapshot alive."""
    make_snapshot(tmp_path, {"feed": ["192.0.2.1"]})
    maps = "/proc/self/maps"
    snapshot = Snapshot.open_current(tmp_path)
    snapshot.lookup("192.0.2.1")
    with open(maps) as file:  # noqa: PTH123 - no file to walk to
        assert str(tmp_path) in file.read()
    del snapshot
    with open(maps) as file:  # noqa: PTH123
        assert str(tmp_path) not in file.read()


WRONG: list[Any] = [
    b"",
    b"abc",
    bytearray(4 * 65537),
    np.zeros(65536, np.uint32),
    np.zeros(65537, np.int32),
    np.zeros(65537, ">u4"),
    np.zeros(65537, np.float32),
    np.zeros((65537, 1), np.uint32),
    np.zeros(65537 * 2, np.uint32)[::2],
    np.frombuffer(bytearray(65537 * 4 + 1), np.uint32, offset=1),
    None,
    "text",
]


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: type(wrong).__name__)
def test_columns_of_another_shape_are_refused(place: int, wrong: object) -> None:
    """Truncated, misaligned, strided, signed, of another byte order, of another length, or no buffer at all."""
    columns = Columns()
    if place < 3:
        columns.four[place] = wrong
    else:
        columns.six[place - 3] = wrong
    with pytest.raises((ValueError, TypeError, BufferError)):
        columns.lookup()


@pytest.mark.parametrize("arguments", [(), (1, 2, 3), ((), (), None), ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6), None)])
def test_arguments_of_another_kind_are_refused(arguments: tuple[object, ...]) -> None:
    """The constructor takes two tuples of columns and a callable."""
    assert kernel.active is not None
    with pytest.raises((TypeError, ValueError)):
        kernel.active.Lookup(*arguments)
    with pytest.raises(TypeError):
        kernel.active.Lookup(*arguments, more=1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**128 - 1), min_size=1, max_size=40))
def test_hostile_columns_give_an_answer_or_an_error(seed: int, values: list[int]) -> None:
    """Random roots, starts and numbers of sets: a listing of the list, or IndexError; never anything else."""
    rng = np.random.default_rng(seed)
    columns = Columns([0, *range(1, 400, 7)], [0, *range(1, 400, 7)], wide=bool(seed & 1))
    for family in (columns.four, columns.six):
        for place, column in enumerate(family):
            if rng.random() < 0.6:
                top = [3, len(family[1]) + 2, np.iinfo(column.dtype).max][rng.integers(3)]
                family[place] = rng.integers(0, top, len(column), column.dtype, endpoint=True)
    lookup = columns.lookup()
    for value in values:
        for question in (value & 2**32 - 1, ipaddress.IPv6Address(value)):
            kind, gave = outcome(lookup.lookup, question)
            assert kind == "gave" or gave[0] is IndexError
    outcome(lookup.lookup_many_integers, unsigned([value & 2**32 - 1 for value in values]))


@pytest.mark.parametrize("pair", [None, (), (4,), (5, 1), (4, 2**32), (6, 2**128), (6, -1), (4, "1"), ("4", 1), [4, 1]])
def test_an_odd_answer_of_resolve_is_an_error(pair: object) -> None:
    """The kernel believes nothing that its callback says."""
    lookup = Columns().lookup(lambda _: pair)
    with pytest.raises((TypeError, ValueError, OverflowError)):
        lookup.lookup(None)


def test_an_index_that_is_closed_by_its_own_callback_is_closed() -> None:
    """Closing in ``resolve`` or in ``make``, in the middle of a batch, ends in ValueError or a right answer."""
    columns = Columns(range(0, 1000, 2))

    def resolve(question: Any) -> tuple[int, int]:
        lookup.close()
        return 4, int(question)

    lookup = columns.lookup(resolve)
    with pytest.raises(ValueError, match="closed"):
        lookup.lookup_many([1, 2, 3.0, 4])
    lookup = Columns(range(0, 1000, 2)).lookup(resolve)
    with pytest.raises(ValueError, match="closed"):
        lookup.lookup(5.0)


def test_listings_that_are_taken_away_are_an_error() -> None:
    """A list of listings that has shrunk is IndexError."""
    columns = Columns([0, 5])
    lookup = columns.lookup()
    columns.listings4.clear()
    with pytest.raises(IndexError):
        lookup.lookup(7)
