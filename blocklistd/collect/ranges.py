"""Text to ranges, many at a time: the fast twin of ``addresses.parse_entry``.

``scan_lines`` takes a block of whole lines and reads every plain IPv4 address or CIDR in a few numpy passes;
lines that hold anything else come back as odd, for the careful reader. ``read_tokens`` and ``read_pairs``
take columns of whole tokens. Promise: what is read here is exactly what the careful parser would read.

The positions of all bytes that are no digit (stops) cut the block into runs of digits. A plain line is four
runs of one to three digits, cut by three dots::

    1 9 2 . 0 . 2 . 1 3 0 / 2 5 ␠ # text ⏎
          ^   ^   ^       ^     ^            these five are consecutive stops of the line
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from blocklistd import kernel
from blocklistd.addresses import MAPPED, MAX4, MAX6, SPECIAL, WIDEST_SIZE, Entry, parse_entry, range_between

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NEWLINE, DOT, SLASH, COMMA, COLON = b"\n./,:"
_LOW: Final = 2**64 - 1
_BLANKS_SKIPPED: Final = 64
"""So many blanks between an address and what follows are stepped over; lines with more are odd."""


class LineScan(NamedTuple):
    """What the fast reader made of a block: entries by 0-based line, and the lines it leaves alone."""

    lines: NDArray[np.int64]
    first: NDArray[np.uint32]
    last: NDArray[np.uint32]
    masked: NDArray[np.bool_]
    odd: NDArray[np.int64]
    starts: NDArray[np.int64]
    """Of every odd line: offset of its first byte."""
    ends: NDArray[np.int64]
    """Of every odd line: offset of its newline."""


class _Plain(NamedTuple):
    """Lines that begin with a plain IPv4 address or CIDR; ``stop`` is the index of the stop that ends it."""

    lines: NDArray[np.int64]
    first: NDArray[np.uint32]
    last: NDArray[np.uint32]
    masked: NDArray[np.bool_]
    stop: NDArray[np.int64]


class _Cuts(NamedTuple):
    """A block cut at every byte that is no digit: offset and byte of each stop, and where lines lie."""

    buffer: NDArray[np.uint8]
    stops: NDArray[np.int64]
    marks: NDArray[np.uint8]
    heads: NDArray[np.int64]
    tails: NDArray[np.int64]
    starts: NDArray[np.int64]


def scan_lines(block: bytes) -> LineScan:
    """Read a block that ends with a newline; blank lines and ``#`` lines are neither read nor odd."""
    if kernel.active is not None:
        return _scan_compiled(kernel.active.scan_lines, block)
    cuts = _cut(block)
    plain = _plain(cuts)
    kept = _ends_well(cuts, plain)
    opening = cuts.buffer[cuts.starts]
    odd = (opening != NEWLINE) & (opening != ord("#"))
    odd[plain.lines[kept]] = False
    left = np.flatnonzero(odd)
    starts, ends = cuts.starts[left], cuts.stops[cuts.tails[left]]
    if kept.all():
        return LineScan(plain.lines, plain.first, plain.last, plain.masked, left, starts, ends)
    return LineScan(plain.lines[kept], plain.first[kept], plain.last[kept], plain.masked[kept], left, starts, ends)


def _scan_compiled(scan: Callable[..., tuple[int, int, int]], block: bytes) -> LineScan:
    count = np.count_nonzero(np.frombuffer(block, np.uint8) == NEWLINE)  # five times as quick as bytes.count
    columns = LineScan(
        np.empty(count, np.int64),
        np.empty(count, np.uint32),
        np.empty(count, np.uint32),
        np.empty(count, np.bool_),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty(count, np.int64),
    )
    _, plain, odd = scan(block, *columns)
    lines, first, last, masked, left, starts, ends = columns
    return LineScan(lines[:plain], first[:plain], last[:plain], masked[:plain], left[:odd], starts[:odd], ends[:odd])


def _cut(block: bytes) -> _Cuts:
    buffer = np.frombuffer(block, np.uint8)
    stops = np.flatnonzero(buffer - np.uint8(48) > 9)  # bytes below "0" wrap around to large numbers
    marks = buffer[stops]
    tails = np.flatnonzero(marks == NEWLINE)
    heads = np.zeros_like(tails)
    heads[1:] = tails[:-1] + 1
    starts = np.zeros_like(tails)
    starts[1:] = stops[tails[:-1]] + 1
    return _Cuts(buffer, stops, marks, heads, tails, starts)


def _plain(cuts: _Cuts) -> _Plain:
    stops, marks = cuts.stops, cuts.marks
    lines = np.flatnonzero(cuts.tails - cuts.heads >= 3)
    heads = cuts.heads[lines]
    dotted = (marks[heads] == DOT) & (marks[heads + 1] == DOT) & (marks[heads + 2] == DOT)
    if not dotted.all():
        lines, heads = lines[dotted], heads[dotted]
    value = np.zeros(len(lines), np.uint32)
    sound = np.ones(len(lines), np.bool_)
    begin = cuts.starts[lines]
    for step in range(4):
        end = stops[heads + step]
        octet, fits = _number(cuts.buffer, begin, end, 3)
        sound &= fits & (octet < 256)
        value = value << np.uint32(8) | octet
        begin = end + 1
    if not sound.all():
        lines, heads, value = lines[sound], heads[sound], value[sound]
    stop = heads + 3
    span = np.zeros(len(lines), np.uint32)
    sliced = np.flatnonzero(marks[stop] == SLASH)
    if len(sliced):
        end = stops[stop[sliced] + 1]
        length, fits = _number(cuts.buffer, stops[stop[sliced]] + 1, end, 2)
        fits &= length <= 32
        span[sliced] = (1 << (32 - np.minimum(length, 32).astype(np.uint64))) - np.uint64(1)
        stop[sliced[fits]] += 1  # where it does not fit the slash stays the stop, which no line may end with
    first = value & ~span
    return _Plain(lines, first, first | span, first != value, stop)


def _number(
    buffer: NDArray[np.uint8], begin: NDArray[np.int64], end: NDArray[np.int64], most: int
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """The decimal number of the digits in [begin, end), and whether there are one to ``most`` of them."""
    length = end - begin
    value = _digit(buffer, end - 1)
    value += _digit(buffer, end - 2) * (length > 1) * np.uint32(10)
    if most > 2:
        value += _digit(buffer, end - 3) * (length > 2) * np.uint32(100)
    return value, (length > 0) & (length <= most)


def _digit(buffer: NDArray[np.uint8], position: NDArray[np.int64]) -> NDArray[np.uint32]:
    return (buffer[position] - np.uint8(48)).astype(np.uint32)


def _ends_well(cuts: _Cuts, plain: _Plain) -> NDArray[np.bool_]:
    """Which plain lines the careful reader would take for this one entry, whatever text follows it."""
    mark = cuts.marks[plain.stop]
    good = _ENDS[mark]
    trailing = np.flatnonzero(_GAPS[mark])
    if not len(trailing):
        return good
    position = cuts.stops[plain.stop[trailing]]
    following = cuts.buffer[position]
    for _ in range(_BLANKS_SKIPPED):
        blank = (following == 32) | (following == 9)
        if not blank.any():
            break
        position = position + blank
        following = cuts.buffer[position]
    lines = plain.lines[trailing]
    good[trailing] = _ENDS[following] | (~_BLANK[following] & _stands_alone(cuts, lines, cuts.heads[lines]))
    return good


def _stands_alone(cuts: _Cuts, lines: NDArray[np.int64], heads: NDArray[np.int64]) -> NDArray[np.bool_]:
    """No netmask and no second address can be on the line: three dots, and not both a comma and a colon."""

    def count(byte: int) -> NDArray[np.int64]:
        sums = np.zeros(len(cuts.marks) + 1, np.int64)
        np.cumsum(cuts.marks == byte, out=sums[1:])
        return sums[cuts.tails[lines]] - sums[heads]

    alone: NDArray[np.bool_] = count(DOT) == 3
    if (cuts.marks == COMMA).any() and (cuts.marks == COLON).any():
        alone &= (count(COMMA) == 0) | (count(COLON) == 0)
    return alone


def _table(characters: bytes) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[list(characters)] = True
    return table


_ENDS: Final = _table(b"\n#;")
_GAPS: Final = _table(b" \t,")
_BLANK: Final = _table(b" \t")


@dataclass(frozen=True, slots=True)
class Ranges:
    """One inclusive range a row. family: 4, 6, or 0 for none; first, last: shape (n, 2), high half first."""

    family: NDArray[np.uint8]
    first: NDArray[np.uint64]
    last: NDArray[np.uint64]
    masked: NDArray[np.bool_]

    def set(self, row: int, entry: Entry | None) -> None:
        """Fill in one row that the careful parser read."""
        if entry is not None:
            self.family[row] = entry.family
            self.first[row] = entry.first >> 64, entry.first & _LOW
            self.last[row] = entry.last >> 64, entry.last & _LOW
            self.masked[row] = entry.masked


def read_tokens(tokens: Sequence[str]) -> Ranges:
    """Every token as ``parse_entry`` reads it."""
    found = _no_ranges(len(tokens))
    rest = _read_plain(tokens, found)
    colons = [row for row in rest if ":" in tokens[row]]
    for start in range(0, len(colons), 512):
        _read_six(tokens, colons[start : start + 512], found)
    for row in np.flatnonzero(found.family == 0).tolist():
        found.set(row, parse_entry(tokens[row]))
    return found


def read_pairs(starts: Sequence[str], ends: Sequence[str]) -> Ranges:
    """First and last addresses, inclusive, also as decimal integers; no range where the end comes first."""
    found = _no_ranges(len(starts))
    low, high = _no_ranges(len(starts)), _no_ranges(len(starts))
    rest: set[int] = set()
    for tokens, half in ((starts, low), (ends, high)):
        left = _read_plain(tokens, half)
        for start in range(0, len(left), 512):
            _read_six(tokens, left[start : start + 512], half)
        rest.update(np.flatnonzero(half.family == 0).tolist())
    ordered = (low.first[:, 0] < high.first[:, 0]) | (
        (low.first[:, 0] == high.first[:, 0]) & (low.first[:, 1] <= high.first[:, 1])
    )
    good = (low.family == high.family) & ordered
    for tokens in (starts, ends):
        if "/" in "".join(tokens):  # the fast reader takes a CIDR, which has no place in a pair
            good &= np.array(["/" not in token for token in tokens])
    found.family[good] = low.family[good]
    found.first[good] = low.first[good]
    found.last[good] = high.first[good]
    for row in rest:
        found.family[row] = 0
        found.set(row, _pair(starts[row], ends[row]))
    return found


def _pair(start: str, end: str) -> Entry | None:
    entry = range_between(start, end)
    if entry is not None or not (start.isascii() and end.isascii() and start.isdigit() and end.isdigit()):
        return entry
    if max(len(start), len(end)) > 39 or not (first := int(start)) <= (last := int(end)) <= MAX6:
        return None
    if last <= MAX4:
        return Entry(4, first, last)
    return Entry(6, first, last) if first > MAX4 else None


def _no_ranges(count: int) -> Ranges:
    return Ranges(
        np.zeros(count, np.uint8),
        np.zeros((count, 2), np.uint64),
        np.zeros((count, 2), np.uint64),
        np.zeros(count, np.bool_),
    )


def _read_plain(tokens: Sequence[str], found: Ranges) -> list[int]:
    """Fill in the plain IPv4 tokens; gives the rows that are left."""
    joined = "\n".join(tokens)
    if not tokens or joined.count("\n") != len(tokens) - 1:
        return list(range(len(tokens)))
    cuts = _cut((joined + "\n").encode(errors="replace"))
    plain = _plain(cuts)
    whole = plain.stop == cuts.tails[plain.lines]
    rows = plain.lines[whole]
    found.family[rows] = 4
    found.first[rows, 1] = plain.first[whole]
    found.last[rows, 1] = plain.last[whole]
    found.masked[rows] = plain.masked[whole]
    return np.flatnonzero(found.family == 0).tolist()


_LENGTHS: Final = {"": 128} | {str(length): length for length in range(129)}
_SIX: Final = partial(socket.inet_pton, socket.AF_INET6)


def _read_six(tokens: Sequence[str], rows: list[int], found: Ranges) -> None:
    """Fill in IPv6 addresses and CIDRs; where one token is odd, all rows are left to the careful parser."""
    parts = [tokens[row].partition("/") for row in rows]
    lengths = [_LENGTHS.get(length, -1) if length or not slash else -1 for _, slash, length in parts]
    try:
        raw = b"".join([_SIX(host) for host, _, _ in parts])
    except (OSError, ValueError):
        return
    if min(lengths, default=-1) < 0:
        return
    value = np.frombuffer(raw, ">u8").reshape(-1, 2).astype(np.uint64)
    bits = np.array(lengths, np.int64)
    span = np.stack([_ones(64 - bits), _ones(128 - bits)], axis=1)
    first = value & ~span
    where = np.array(rows)
    # IPv4-mapped addresses are IPv4 and go the careful way
    own = ~((value[:, 0] == 0) & (value[:, 1] >> np.uint64(32) == MAPPED >> 32))
    where, first, span, value = where[own], first[own], span[own], value[own]
    found.family[where] = 6
    found.first[where] = first
    found.last[where] = first | span
    found.masked[where] = (first != value).any(axis=1)


def _ones(count: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Numbers with so many low bits set, 0 to 64."""
    count = np.clip(count, 0, 64)
    high = np.maximum(count, 1).astype(np.uint64) - np.uint64(1)
    below = (np.uint64(1) << high) - np.uint64(1)
    return np.where(count > 0, below << np.uint64(1) | np.uint64(1), np.uint64(0))


def is_wide4(first: NDArray[np.uint32], last: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which IPv4 ranges are larger than a /8."""
    wide: NDArray[np.bool_] = last - first >= WIDEST_SIZE[4]
    return wide


def is_wide6(first: NDArray[np.uint64], last: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which IPv6 ranges are larger than a /16."""
    borrow = (last[:, 1] < first[:, 1]).astype(np.uint64)
    wide: NDArray[np.bool_] = last[:, 0] - first[:, 0] - borrow >= WIDEST_SIZE[6] >> 64
    return wide


_SPECIAL4: Final = sorted((entry.first, entry.last) for entry in SPECIAL if entry.family == 4)
_STARTS4: Final = np.array([first for first, _ in _SPECIAL4], np.uint32)
_ENDS4: Final = np.array([last for _, last in _SPECIAL4], np.uint32)
_BLOCKS4: Final = np.isin(
    np.arange(256), [b for first, last in _SPECIAL4 for b in range(first >> 24, (last >> 24) + 1)]
)
"""Which /8 hold special-use space: a range within any other holds none."""
_SPECIAL6: Final = [(entry.first, entry.last) for entry in SPECIAL if entry.family == 6]


def touches_special4(first: NDArray[np.uint32], last: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which IPv4 ranges share an address with special-use space."""
    block = last >> np.uint32(24)
    touches: NDArray[np.bool_] = _BLOCKS4[block] | (first >> np.uint32(24) != block)
    near = np.flatnonzero(touches)
    before = np.searchsorted(_STARTS4, last[near], side="right") - 1
    touches[near] = (before >= 0) & (_ENDS4[before] >= first[near])
    return touches


def touches_special6(first: NDArray[np.uint64], last: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which IPv6 ranges share an address with special-use space."""
    touches = np.zeros(len(first), np.bool_)
    for start, end in _SPECIAL6:
        high, low = np.uint64(start >> 64), np.uint64(start & _LOW)
        begun = (last[:, 0] > high) | ((last[:, 0] == high) & (last[:, 1] >= low))
        high, low = np.uint64(end >> 64), np.uint64(end & _LOW)
        touches |= begun & ((first[:, 0] < high) | ((first[:, 0] == high) & (first[:, 1] <= low)))
    return touches
