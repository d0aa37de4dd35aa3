"""Address → feed set, over the mapped segments of both families.

A radix root over the top bits tells where to look, a binary search does the rest. Both families answer the number of
the segment's set and give the one ``Listing`` of that set; a listing is made when it is first asked for and then
shared. Reading is safe from any number of threads.

``Lookup`` is the pure twin of the kernel's type of the same name; ``open_lookup`` gives the one that is in use.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6, inet_pton
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, Protocol

from blocklistd import kernel
from blocklistd.index.listing import NOT_LISTED, Listing

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from typing_extensions import Buffer

    from blocklistd.index.layout import Section

ROOT4_SHIFT: Final = 16
ROOT6_SHIFT: Final = 44
ROOT_SLOTS: Final = 2**16
GLOBAL6: Final = 0x2
"""The top four bits of almost every IPv6 address in use (2000::/4); the root divides that space alone."""

SMALL_BATCH: Final = 64
"""Below this many addresses the single lookup is as fast as numpy, and needs no numpy."""

_LOW64: Final = 2**64 - 1
_LOW32: Final = 2**32 - 1
_MAPPED: Final = 0xFFFF
"""What stands above the low 32 bits of an IPv4-mapped address (::ffff:192.0.2.1), which is the IPv4 address."""

_halves_of = Struct(">QQ").unpack


class FeedSets:
    """The distinct feed sets of a section as shared listings."""

    __slots__ = ("_feed_ids", "_members", "_offsets", "listings")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self._offsets, self._members = section.arrays["offsets"], section.arrays["members"]
        self._feed_ids = feed_ids
        self.listings: list[Listing | None] = [None] * (len(self._offsets) - 1)
        if self.listings:
            self.listings[0] = NOT_LISTED

    def listing(self, number: int) -> Listing:
        """The listing of a set; the same object every time."""
        listing = self.listings[number]
        if listing is None:
            members = self._members[self._offsets[number] : self._offsets[number + 1]]
            listing = Listing(tuple([self._feed_ids[member] for member in members]))
            self.listings[number] = listing
        return listing


class Segments4:
    """IPv4 segments."""

    __slots__ = ("_arrays", "numbers", "root", "sets", "starts")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self.sets = FeedSets(section, feed_ids)
        arrays = section.arrays
        self.root, self.starts, self.numbers = arrays["root"], arrays["starts"], arrays["sets"]
        self._arrays: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return len(self.starts)

    def listing(self, value: int) -> Listing:
        """The listing of an address."""
        root, slot = self.root, value >> ROOT4_SHIFT
        number = self.numbers[bisect_right(self.starts, value, root[slot], root[slot + 1]) - 1]
        return self.sets.listings[number] or self.sets.listing(number)

    def listings(self, values: NDArray[Any]) -> list[Listing]:
        """The listings of many addresses (uint32)."""
        import numpy as np

        if self._arrays is None:
            self._arrays = (
                np.frombuffer(self.starts, np.uint32),
                np.frombuffer(self.numbers, self.numbers.format),
            )
        starts, numbers = self._arrays
        found = numbers[np.searchsorted(starts, values, side="right") - 1].tolist()
        listings, make = self.sets.listings, self.sets.listing
        return [listings[number] or make(number) for number in found]


class Segments6:
    """IPv6 segments; a start is split into two 64-bit halves."""

    __slots__ = ("_arrays", "high", "low", "numbers", "root", "sets")

    def __init__(self, section: Section, feed_ids: Sequence[str]) -> None:
        self.sets = FeedSets(section, feed_ids)
        arrays = section.arrays
        self.root, self.numbers = arrays["root"], arrays["sets"]
        self.high, self.low = arrays["high"], arrays["low"]
        self._arrays: tuple[NDArray[Any], ...] | None = None

    def __len__(self) -> int:
        return len(self.high)

    def listing(self, high: int, low: int) -> Listing:
        """The listing of an address, given as its halves."""
        starts, root = self.high, self.root
        top = high >> ROOT6_SHIFT
        if top >> 16 == GLOBAL6:
            slot = top & 0xFFFF
            start, end = root[slot], root[slot + 1]
        elif top >> 16 < GLOBAL6:
            start, end = 0, root[0]
        else:
            start, end = root[ROOT_SLOTS], len(starts)
        index = bisect_right(starts, high, start, end)
        if index > start and starts[index - 1] == high:
            index = self._within(high, low, start, index)
        number = self.numbers[index - 1]
        return self.sets.listings[number] or self.sets.listing(number)

    def _within(self, high: int, low: int, start: int, end: int) -> int:
        """Behind the last segment at or before an address, among those that share its high half."""
        return bisect_right(self.low, low, bisect_left(self.high, high, start, end), end)

    def listings(self, high: NDArray[Any], low: NDArray[Any]) -> list[Listing]:
        """The listings of many addresses, given as their halves (uint64)."""
        import numpy as np

        if self._arrays is None:
            self._arrays = np.frombuffer(self.high, np.uint64), np.frombuffer(self.numbers, self.numbers.format)
        starts, numbers = self._arrays
        after = np.searchsorted(starts, high, side="right")
        shared = np.flatnonzero(starts[after - 1] == high)
        for index in shared.tolist():
            after[index] = self._within(int(high[index]), int(low[index]), 0, int(after[index]))
        listings, make = self.sets.listings, self.sets.listing
        return [listings[number] or make(number) for number in numbers[after - 1].tolist()]


Resolve = Callable[[Any], tuple[int, int]]
"""Family and value of a question that is no plain text; raises for what is no address."""


class AnyLookup(Protocol):
    """What ``Lookup`` and its compiled twin do. Every question raises what ``resolve`` raises, ValueError if closed."""

    def lookup(self, question: Any, /) -> Listing:
        """The listing of one address."""
        ...

    def lookup_many(self, questions: Sequence[Any], /) -> list[Listing]:
        """The listings of many, in the order asked."""
        ...

    def lookup_many_integers(self, values: Buffer, /) -> list[Listing]:
        """The listings of many IPv4 addresses, a buffer of unsigned 32-bit integers."""
        ...

    def close(self) -> None:
        """Let go of the columns."""
        ...


def open_lookup(four: Segments4, six: Segments6, resolve: Resolve) -> AnyLookup:
    """The lookup over the segments of both families, compiled or pure."""
    if kernel.active is None:
        return Lookup(four, six, resolve)
    lookup: AnyLookup = kernel.active.Lookup(
        (four.root, four.starts, four.numbers, four.sets.listings, four.sets.listing),
        (six.root, six.high, six.low, six.numbers, six.sets.listings, six.sets.listing),
        resolve,
    )
    return lookup


class Lookup:
    """Address to listing in pure Python and, for many, numpy."""

    __slots__ = ("_four", "_resolve", "_six")

    def __init__(self, four: Segments4, six: Segments6, resolve: Resolve) -> None:
        self._four: Segments4 | _Closed = four
        self._six: Segments6 | _Closed = six
        self._resolve = resolve

    def lookup(self, question: Any) -> Listing:
        """The listing of one address."""
        high = 0
        try:
            if ":" in question:
                high, value = _halves_of(inet_pton(AF_INET6, question))
                six = high != 0 or value >> 32 != _MAPPED
                if not six:
                    value &= _LOW32
            else:
                value, six = int.from_bytes(inet_pton(AF_INET, question)), False
        except (OSError, TypeError, ValueError):
            family, value = self._resolve(question)
            six = family == 6
            high, value = value >> 64, value & _LOW64
        return self._six.listing(high, value) if six else self._four.listing(value)

    def lookup_many(self, questions: Sequence[Any]) -> list[Listing]:
        """The listings of many, in the order asked."""
        if len(questions) <= SMALL_BATCH:
            return [self.lookup(question) for question in questions]
        kinds = set(map(type, questions))
        listings = None
        if kinds == {str}:
            listings = self._lookup_texts(questions)
        elif kinds == {int}:
            listings = self._lookup_numbers(questions)
        return self._lookup_any([self._resolve(question) for question in questions]) if listings is None else listings

    def _lookup_texts(self, texts: Sequence[str]) -> list[Listing] | None:
        """None if one is no address or an IPv4-mapped one."""
        import numpy as np

        fours = [text for text in texts if ":" not in text]
        sixes = texts if not fours else [text for text in texts if ":" in text]
        try:
            packed4 = b"".join([inet_pton(AF_INET, text) for text in fours])
            packed6 = b"".join([inet_pton(AF_INET6, text) for text in sixes]) if len(fours) < len(texts) else b""
        except (OSError, ValueError):
            return None
        values = np.frombuffer(packed4, ">u4").astype(np.uint32)
        if not packed6:
            return self._four.listings(values)
        halves = np.frombuffer(packed6, ">u8").astype(np.uint64)
        high, low = halves[::2], halves[1::2]
        if np.any((high == 0) & (low >> 32 == _MAPPED)):
            return None
        found6 = self._six.listings(high, low)
        if not fours:
            return found6
        next4, next6 = iter(self._four.listings(values)), iter(found6)
        return [next(next6 if ":" in text else next4) for text in texts]

    def _lookup_numbers(self, numbers: Sequence[int]) -> list[Listing] | None:
        """None if one is beyond 32 bits."""
        import numpy as np

        try:
            values = np.array(numbers, np.int64)
        except OverflowError:
            return None
        if values.min() < 0 or values.max() > _LOW32:
            return None
        return self._four.listings(values.astype(np.uint32))

    def _lookup_any(self, addresses: list[tuple[int, int]]) -> list[Listing]:
        import numpy as np

        answers = [NOT_LISTED] * len(addresses)
        four = [index for index, (family, _) in enumerate(addresses) if family == 4]
        six = [index for index, (family, _) in enumerate(addresses) if family == 6]
        values = np.array([addresses[index][1] for index in four], np.uint32)
        for index, listing in zip(four, self._four.listings(values), strict=True):
            answers[index] = listing
        high = np.array([addresses[index][1] >> 64 for index in six], np.uint64)
        low = np.array([addresses[index][1] & _LOW64 for index in six], np.uint64)
        for index, listing in zip(six, self._six.listings(high, low), strict=True):
            answers[index] = listing
        return answers

    def lookup_many_integers(self, values: Buffer) -> list[Listing]:
        """The listings of many IPv4 addresses, a buffer of unsigned 32-bit integers."""
        import numpy as np

        array = np.asarray(memoryview(values))
        if array.ndim != 1 or array.dtype != np.uint32:
            raise ValueError("a buffer of 4-byte unsigned integers is needed")
        return self._four.listings(array)

    def close(self) -> None:
        """Let go of the columns."""
        self._four = self._six = _Closed()


class _Closed:
    """In the place of segments that are gone."""

    def listing(self, *_: object) -> Listing:
        raise ValueError("the snapshot is closed")

    def listings(self, *_: object) -> list[Listing]:
        raise ValueError("the snapshot is closed")
