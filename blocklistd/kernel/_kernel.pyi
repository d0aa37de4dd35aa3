from collections.abc import Callable, Container, Sequence
from typing import Any, final

from typing_extensions import Buffer

from blocklistd.index.listing import Listing

INTERFACE: int

def parse_address(text: str, /) -> tuple[int, int] | None: ...
def scan_lines(
    block: Buffer,
    lines: Buffer,
    first: Buffer,
    last: Buffer,
    masked: Buffer,
    odd: Buffer,
    starts: Buffer,
    ends: Buffer,
    /,
) -> tuple[int, int, int]: ...
def flatten(
    starts: Sequence[Buffer],
    ends: Sequence[Buffer],
    tokens: Buffer,
    end: int,
    into_starts: Buffer,
    into_sets: Buffer,
    /,
) -> tuple[int, bytes, bytes]: ...
def merge(first: Buffer, last: Buffer, into_start: Buffer, into_end: Buffer, /) -> int: ...
def measure(starts: Buffer, sets: Buffer, end: int, covered: Buffer, /) -> None: ...
def overlay(
    starts: Buffer,
    sets: Buffer,
    become: Buffer,
    upper_starts: Buffer,
    upper_sets: Buffer,
    empty: int,
    into_starts: Buffer,
    into_sets: Buffer,
    /,
) -> tuple[int, bytes]: ...

@final
class Lookup:
    def __new__(
        cls,
        four: tuple[Buffer, Buffer, Buffer, list[Listing | None], Callable[[int], Listing]],
        six: tuple[Buffer, Buffer, Buffer, Buffer, list[Listing | None], Callable[[int], Listing]],
        resolve: Callable[[Any], tuple[int, int]],
        /,
    ) -> Lookup: ...
    def lookup(self, question: Any, /) -> Listing: ...
    def lookup_many(self, questions: Sequence[Any], /) -> list[Listing]: ...
    def lookup_many_integers(self, values: Buffer, /) -> list[Listing]: ...
    def close(self) -> None: ...

@final
class HotPath:
    def __new__(
        cls, lookup: Lookup, known: Container[bytes], tail_of: Callable[[Listing], tuple[bytes, bool]], /
    ) -> HotPath: ...
    def answer(self, data: bytes, /) -> tuple[bytes, int, int, int]: ...
    def items(self, questions: Sequence[object], /) -> tuple[list[bytes | None], int, int]: ...
    def set_date(self, date: bytes, /) -> None: ...
