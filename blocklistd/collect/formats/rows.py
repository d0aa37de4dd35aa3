"""What every format gives: rows of texts by role, and the blocks of lines most of them read.

A reader yields ``Rows`` chunk by chunk. Nothing in them is interpreted yet, with one exception: ``plain`` holds
IPv4 entries that the fast reader of ``lines`` has already turned into ranges.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from blocklistd.collect.model import Reject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

BLOCK_SIZE: Final = 2 * 2**20
"""Lines are read in blocks of about so many bytes."""
ROWS_AT_ONCE: Final = 65536
"""Records without lines are handed on in chunks of so many."""
REJECT_TEXT: Final = 100
"""So many characters of a refused line are kept."""


@dataclass(frozen=True, slots=True)
class Plain:
    """IPv4 entries without any other column, as inclusive ranges with their line numbers."""

    numbers: NDArray[np.int64]
    first: NDArray[np.uint32]
    last: NDArray[np.uint32]
    masked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Rows:
    """One chunk: ``columns[role][i]`` is a text of row i, which stands on line or in record ``numbers[i]``.

    texts: each row as the list wrote it, for the report of refused rows. rejects: what could not even become a row.
    heading: the first row may be a heading; if it is no entry, nothing is said about it. declared: how many entries the
    document says it holds. dated: the date it bears.
    """

    numbers: Sequence[int] = ()
    texts: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    rejects: Sequence[Reject] = ()
    plain: Plain | None = None
    heading: bool = False
    declared: int | None = None
    dated: float | None = None


def reject(number: int, text: str, reason: str) -> Reject:
    """A refused row with the start of its text."""
    return Reject(number, text[:REJECT_TEXT], reason)


def plain_text(body: bytes) -> bytes:
    """The body without a byte order mark, every line ended by a newline alone (CRLF and CR too)."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return body


def blocks(body: bytes, size: int = BLOCK_SIZE) -> Iterator[tuple[int, bytes]]:
    """Cut a body into blocks of whole lines, each ending with a newline; gives the number of its first line too."""
    start, number = 0, 1
    while start < len(body):
        end = body.find(b"\n", start + size) + 1
        block = body[start:end] if end else body[start:]
        start += len(block)
        if not block.endswith(b"\n"):
            block += b"\n"
        yield number, block
        if start < len(body):
            number += block.count(b"\n")


def text_lines(block: bytes) -> list[str]:
    """The lines of a block as text; what is no UTF-8 is replaced."""
    return block.decode(errors="replace").split("\n")[:-1]


def cell_text(value: Any) -> str | None:
    """A JSON or SQLite value as a cell: numbers become text, nothing but text and numbers is one."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(value)
