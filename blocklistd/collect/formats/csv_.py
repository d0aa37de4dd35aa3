"""``csv``: columns by name or number, one record a line.

Quotes as in RFC 4180 but never across lines, so an unclosed one spoils its line alone; cells are stripped. A line that
starts with ``#`` is a comment, a ``#`` inside a line is data. Columns count from 1, negative ones from the right.
"""

from __future__ import annotations

import csv
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from blocklistd.collect.formats.rows import Rows, blocks, plain_text, reject, text_lines
from blocklistd.collect.unpack import BadBody

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from blocklistd.catalogue.feed import Feed
    from blocklistd.collect.model import Reject

BLOCK_SIZE: Final = 128 * 2**10
"""Smaller than elsewhere: the cells of a block shall fit into the processor's cache."""
_IDLE: Final = (b"\n#", b"\n\n", b"\n ", b"\n\t")
"""What a block must contain to hold a line that is blank or a comment, unless it is the first."""


def read(body: bytes, feed: Feed) -> Iterator[Rows]:
    """Yield the rows of a table. Raises BadBody where a named column is missing."""
    positions = None if feed.header else _positions(feed, [])
    first = True
    for number, block in blocks(plain_text(body), BLOCK_SIZE):
        numbers, lines = _data_lines(number, block)
        if lines and positions is None:
            positions = _positions(feed, _split([lines[0]], feed.delimiter)[0])
            numbers, lines = numbers[1:], lines[1:]
            first = False
        if lines and positions is not None:
            yield _rows(numbers, lines, feed, positions, heading=first)
            first = False


def _data_lines(number: int, block: bytes) -> tuple[Sequence[int], list[str]]:
    """The lines that are neither blank nor comments, with their numbers."""
    lines = text_lines(block)
    numbers = range(number, number + len(lines))
    if block[:1] not in b"# \t\n" and not any(mark in block for mark in _IDLE):
        return numbers, lines
    kept = [row for row, line in enumerate(lines) if (text := line.lstrip()) and not text.startswith("#")]
    return [numbers[row] for row in kept], [lines[row] for row in kept]


def _positions(feed: Feed, names: list[str]) -> dict[str, int]:
    """For each role the index of its column in a record."""
    known = {name.strip().casefold(): index for index, name in reversed(list(enumerate(names)))}
    positions: dict[str, int] = {}
    for role, column in feed.columns.items():
        if isinstance(column, int):
            positions[role] = column - 1 if column > 0 else column
        elif (index := known.get(column.strip().casefold())) is not None:
            positions[role] = index
        else:
            there = ", ".join(name.strip()[:40] for name in names[:20])
            raise BadBody(f"no column {column!r}; there are: {there}")
    return positions


def _split(lines: list[str], delimiter: str) -> list[list[str]]:
    """Each line as cells; a line that is no record has none."""
    try:
        records = list(csv.reader(lines, delimiter=delimiter, skipinitialspace=delimiter != "\t"))
    except csv.Error:
        records = []
    if len(records) == len(lines):
        return records
    return [_split_line(line, delimiter) for line in lines]  # an unclosed quote has swallowed a line end


def _split_line(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, skipinitialspace=delimiter != "\t"), [])
    except csv.Error:
        return []


def _stripped(cells: list[str]) -> list[str]:
    """Cells without blanks around them; most columns hold no blank at all, which is seen at once."""
    joined = "".join(cells)
    return cells if joined.split() in ([], [joined]) and not joined.isspace() else [cell.strip() for cell in cells]


def _rows(numbers: Sequence[int], lines: list[str], feed: Feed, positions: dict[str, int], *, heading: bool) -> Rows:
    needed = max(index + 1 if index >= 0 else -index for index in positions.values())
    records = _split(lines, feed.delimiter)
    rejects: list[Reject] = []
    if min(map(len, records)) < needed:
        short = [row for row, record in enumerate(records) if len(record) < needed]
        tolerated = heading and short[0] == 0
        rejects = [
            reject(numbers[row], lines[row], f"has {len(records[row])} columns, {needed} are needed")
            for row in short[tolerated:]
        ]
        heading = heading and not tolerated
        whole = [row for row, record in enumerate(records) if len(record) >= needed]
        numbers = [numbers[row] for row in whole]
        lines = [lines[row] for row in whole]
        records = [records[row] for row in whole]
    columns = {role: _stripped(list(map(itemgetter(index), records))) for role, index in positions.items()}
    return Rows(numbers, lines, columns, rejects, heading=heading)
