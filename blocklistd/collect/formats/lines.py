"""``lines``: one entry a line, in any of the notations that lists use.

Addresses: address, CIDR, ``a-b`` or ``a - b``, address and netmask, ``a.b.c.*``, ``ip:port``, ``[v6]:port``, a
URL holding one. A whole line that starts with ``#``, ``;`` or ``//`` is a comment; text after a blank, ``,``, ``#``
or ``;`` is ignored. A line whose cells are addresses, separated by commas, holds them all, however long it is.
Domains: also hosts files, adblock rules and URLs; ASNs: ``AS64496``; e-mail addresses.

Plain IPv4 goes through ``ranges.scan_lines``; every other line through ``read_line``, which alone defines the format.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np

from blocklistd.addresses import netmask_length, parse_entry, parse_listed
from blocklistd.collect.formats.rows import Plain, Rows, blocks, plain_text, text_lines
from blocklistd.collect.names import read_host_names
from blocklistd.collect.ranges import scan_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.catalogue.feed import Feed

LONGEST_LINE: Final = 64 * 2**10
"""A longer line is read as a comma-separated list if it starts like one; otherwise only its start counts."""
_JUDGED: Final = 16
"""So many cells decide whether a line with commas is a list of addresses."""

_COMMENT = re.compile(r"[#;]")
_RANGE = re.compile(r"(\S+?)(?:\s+-\s*|-\s+)([0-9A-Fa-f:.]+)(?!\S)", re.ASCII)
_SIGNED = re.compile(rb"^-----BEGIN PGP SIGNED MESSAGE-----\n(?:[A-Za-z]+: .*\n)*", re.MULTILINE)
_SIGNATURE = re.compile(
    rb"^-----BEGIN PGP SIGNATURE-----\n(?:(?!-----END PGP).*\n)*(?:-----END PGP SIGNATURE-----)?", re.MULTILINE
)


def read(body: bytes, feed: Feed) -> Iterator[Rows]:
    """Yield the rows of a plain list."""
    text = _without_armour(plain_text(body))
    for number, block in blocks(text):
        if feed.kind == "ip":
            yield from _address_rows(number, block)
        else:
            yield _word_rows(number, block, feed.kind)


def read_line(line: str) -> list[str]:
    """The tokens of one line of an address list: none for a comment, and several only for a comma-separated list.

    A token that ``parse_entry`` cannot read is a refused line.
    """
    text = line.strip()
    if not text or text.startswith(("#", ";", "//")):
        return []
    text = _COMMENT.split(text, maxsplit=1)[0].rstrip()
    if "," in text:
        if _is_list(text):
            return [_first_token(cell) for cell in text.split(",") if cell.strip()]
        text = text.partition(",")[0].strip()
    return [_first_token(text)]


def _is_list(text: str) -> bool:
    """Whether the line holds several addresses separated by commas: at least two, and most of its first cells."""
    cells = [cell for cell in text.split(",", _JUDGED)[:_JUDGED] if cell.strip()]
    entries = sum(parse_entry(cell) is not None for cell in cells)
    return entries >= 2 and entries * 2 > len(cells)


def _first_token(text: str) -> str:
    words = text.split(None, 2)
    if not words:
        return ""
    token = words[0]
    if len(words) > 1:
        if "-" in text and (match := _RANGE.match(text.lstrip())) is not None:
            first, last = parse_listed(match[1]), parse_listed(match[2])
            if first is not None and last is not None and first.family == last.family:
                return f"{match[1]}-{match[2]}"
        if "." in words[1] and netmask_length(words[1]) is not None and parse_listed(token) is not None:
            return f"{token}/{words[1]}"
    if token.endswith(":") and token.count(":") == 1:  # "192.0.2.1: success"
        return token[:-1]
    return token


def _address_rows(number: int, block: bytes) -> Iterator[Rows]:
    if len(block) > LONGEST_LINE and (cut := block.rfind(b"\n", 0, -1) + 1) < len(block) - LONGEST_LINE:
        yield from _address_rows(number, block[:cut])
        yield from _long_line(number + block.count(b"\n", 0, cut), block[cut:])
        return
    if not block:
        return
    scan = scan_lines(block)
    numbers: list[int] = []
    texts: list[str] = []
    tokens: list[str] = []
    for index, start, end in zip(scan.odd.tolist(), scan.starts.tolist(), scan.ends.tolist(), strict=True):
        raw = block[start:end]
        if len(raw) > LONGEST_LINE:
            yield from _long_line(number + index, raw)
            continue
        line = raw.decode(errors="replace")
        found = read_line(line)
        numbers += [number + index] * len(found)
        texts += [line] if len(found) == 1 else found
        tokens += found
    plain = Plain(scan.lines + number, scan.first, scan.last, scan.masked)
    yield Rows(numbers, texts, {"address": tokens}, plain=plain)


def _long_line(number: int, raw: bytes) -> Iterator[Rows]:
    """A line of any length in bounded memory: its cells become the lines of a list, all with the same number."""
    start = raw[:LONGEST_LINE].decode(errors="replace")
    if start.lstrip().startswith(("#", ";", "//")):
        return
    if not _is_list(start):
        found = read_line(start)
        yield Rows([number] * len(found), found, {"address": found})
        return
    cells = re.split(rb"[#;\n]", raw, maxsplit=1)[0].replace(b",", b"\n")
    for _, block in blocks(cells):
        for rows in _address_rows(number, block):
            plain = rows.plain and Plain(
                np.full_like(rows.plain.numbers, number), rows.plain.first, rows.plain.last, rows.plain.masked
            )
            yield Rows([number] * len(rows.texts), rows.texts, rows.columns, plain=plain)


def _word_rows(number: int, block: bytes, kind: str) -> Rows:
    numbers: list[int] = []
    texts: list[str] = []
    words: list[str] = []
    comments = ("#", ";", "//", "!") if kind == "domain" else ("#", ";", "//")
    for offset, line in enumerate(text_lines(block)):
        text = line[:LONGEST_LINE].strip()
        if not text or text.startswith(comments):
            continue
        found = _COMMENT.split(text, maxsplit=1)[0].split() or [""]
        if kind == "domain":
            found = read_host_names(found)
        for word in found if kind == "domain" else found[:1]:
            numbers.append(number + offset)
            texts.append(line)
            words.append(word.partition(",")[0])
    return Rows(numbers, texts, {kind: words})


def _without_armour(body: bytes) -> bytes:
    """Blank out what a PGP signature wraps around a list; line numbers stay."""
    if b"-----BEGIN PGP SIG" not in body:
        return body
    for pattern in (_SIGNED, _SIGNATURE):
        body = pattern.sub(lambda match: b"\n" * match[0].count(b"\n"), body)
    return body
