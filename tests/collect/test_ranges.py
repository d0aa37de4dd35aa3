"""The fast readers say exactly what the careful parser says, on everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blocklistd.addresses import MAX4, MAX6, SPECIAL, Entry, format_address, parse_entry, range_between
from blocklistd.catalogue.feed import Feed
from blocklistd.collect.formats import lines
from blocklistd.collect.ranges import (
    Ranges,
    is_wide4,
    is_wide6,
    read_pairs,
    read_tokens,
    scan_lines,
    touches_special4,
    touches_special6,
)

pytestmark = pytest.mark.usefixtures("code")

FEED = Feed.model_validate({"id": "x", "urls": ["https://example.org/"], "format": "lines", "category": "spam"})

octets = st.one_of(
    st.integers(0, 255).map(str), st.sampled_from(["0", "255", "256", "999", "007", "010", "0000", "", "1a", "-1"])
)
quads = st.lists(octets, min_size=1, max_size=5).map(".".join) | st.ip_addresses(v=4).map(str)
sixes = st.ip_addresses(v=6).map(str) | st.sampled_from(
    ["::", "::1", "::ffff:192.0.2.1", "2001:db8::192.0.2.1", "1:1:e", "fe80::1%eth0"]
)
suffixes = st.sampled_from(
    ["", "", "", "/24", "/0", "/32", "/33", "/024", "/128", "/", "/255.255.255.0", "/255.0.255.0", ":80", ".*"]
)
addresses = st.builds(str.__add__, quads | sixes, suffixes)
noise = st.sampled_from(
    [
        "GB",
        "London",
        "# 198.51.100.1",
        "; SBL1",
        "-",
        "- 198.51.100.9",
        "16:01:22",
        "10",
        "https://192.0.2.7/a,b",
        "\x00",
        "é",
        "\x0b",
        "255.255.255.0",
    ]
)
ends = addresses.filter(lambda text: not text.isdigit())
words = addresses | noise | st.text("0123456789./,:#;- \t*", max_size=12)
gaps = st.sampled_from([" ", "\t", ",", ";", "#", "  ", " , ", "-", " - ", "", "\r", "/"])
text_lines = st.lists(st.tuples(words, gaps), max_size=4).map(lambda parts: "".join(word + gap for word, gap in parts))


def careful(text: str) -> list[tuple[int, Entry | None]]:
    """Every token of every line as the careful reader sees it."""
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    return sorted(
        (
            (number, parse_entry(token))
            for number, line in enumerate(normal.split("\n"), 1)
            for token in lines.read_line(line)
        ),
        key=str,
    )


def fast(text: str) -> list[tuple[int, Entry | None]]:
    """The same through the numpy reader."""
    found: list[tuple[int, Entry | None]] = []
    for rows in lines.read(text.encode(), FEED):
        found += zip(rows.numbers, entries_of(read_tokens(rows.columns["address"])), strict=True)
        assert rows.plain is not None
        found += [
            (int(number), Entry(4, int(first), int(last), bool(masked)))
            for number, first, last, masked in zip(
                *(getattr(rows.plain, name) for name in ("numbers", "first", "last", "masked")), strict=True
            )
        ]
    return sorted(found, key=str)


def entries_of(ranges: Ranges) -> list[Entry | None]:
    return [
        None
        if not family
        else Entry(int(family), int(first[0]) << 64 | int(first[1]), int(last[0]) << 64 | int(last[1]), bool(masked))
        for family, first, last, masked in zip(ranges.family, ranges.first, ranges.last, ranges.masked, strict=True)
    ]


@settings(max_examples=200, deadline=None)
@given(st.lists(text_lines, max_size=8).map("\n".join))
@example("192.0.2.1,2001:db8::1")
@example("192.0.2.1 \x0b- 2001:db8::1")
@example("192.0.2.1\t255.255.255.0")
@example("192.0.2.1" + " " * 100 + "10")
@example("192.0.2.1/24,192.0.2.2/255.255.255.0")
@example("1.2.3.4")
@example("0.0.0.0/0\n255.255.255.255/32\n255.255.255.255")
@example("192.0.2.\n.0.2.1\n192..2.1\n192.0.2./24\n192.0.2.1/ 5\n192.0.2.1/#")
@example("\n\n#\n \n#192.0.2.1\n #192.0.2.1\n")
def test_lines_read_fast_are_lines_read_carefully(text: str) -> None:
    """Whatever the lines hold, the numpy reader with its fallback gives the entries and refusals of the careful one."""
    assert fast(text) == careful(text)


@pytest.mark.parametrize(
    "line",
    [
        "192.0.2.1", "192.0.2.0/24", "192.0.2.1 ", "192.0.2.0/24 ; SBL1", "192.0.2.1\t10", "192.0.2.1\t# 2026-01-02",
        "192.0.2.1#x", "192.0.2.1;x;y", "192.0.2.1,GB,London", "192.000.002.001", "192.0.2.7/24",
    ],
)  # fmt: skip
def test_plain_lines_never_need_the_careful_reader(line: str) -> None:
    """The usual shapes of a list stay on the fast path."""
    scan = scan_lines(line.encode() + b"\n")
    assert (len(scan.lines), len(scan.odd)) == (1, 0)


@settings(max_examples=150, deadline=None)
@given(st.lists(words, max_size=12))
@example(["192.0.2.1\n192.0.2.2", "2001:db8::/32"])
@example(["::/0", "::/128", "2001:db8::1/64", "2001:db8::/129", "2001:db8::/"])
@example(["::ffff:192.0.2.0/120", "2001:db8::1"])
def test_tokens_read_together_are_tokens_read_alone(tokens: list[str]) -> None:
    """A column gives what ``parse_entry`` gives for each cell."""
    assert entries_of(read_tokens(tokens)) == [parse_entry(token) for token in tokens]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(ends, ends), max_size=12))
@example([("192.0.2.0/24", "192.0.2.255"), ("192.0.2.9", "192.0.2.1"), ("192.0.2.1", "2001:db8::")])
@example([("0.0.0.0", "255.255.255.255"), ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")])
def test_pairs_read_together_are_pairs_read_alone(pairs: list[tuple[str, str]]) -> None:
    """First and last addresses give what ``range_between`` gives for each row."""
    columns = [start for start, _ in pairs], [end for _, end in pairs]
    assert entries_of(read_pairs(*columns)) == [range_between(start, end) for start, end in pairs]


def test_pairs_may_be_decimal_integers() -> None:
    """The ``-num`` variants of the tables write addresses as numbers; the family follows from the size."""
    firsts = ["3221225984", str(2**125), "5", "7", str(MAX6 + 1), "0"]
    lasts = ["3221226239", str(2**125 + 1), str(2**40), "6", str(MAX6 + 2), str(MAX4)]
    assert entries_of(read_pairs(firsts, lasts)) == [
        Entry(4, 3221225984, 3221226239),
        Entry(6, 2**125, 2**125 + 1),
        None,
        None,
        None,
        Entry(4, 0, MAX4),
    ]


@given(st.integers(0, MAX4), st.integers(0, MAX4))
def test_special_and_wide_ipv4_agree_with_plain_arithmetic(one: int, other: int) -> None:
    """The vectorised tests say what comparing with each special network says."""
    first, last = sorted((one, other))
    arrays = np.array([first], np.uint32), np.array([last], np.uint32)
    expected = any(entry.family == 4 and entry.first <= last and first <= entry.last for entry in SPECIAL)
    assert touches_special4(*arrays)[0] == expected
    assert is_wide4(*arrays)[0] == (last - first + 1 > 2**24)


edges6 = st.sampled_from([0, 1, 2, MAX6, *(entry.first for entry in SPECIAL), *(entry.last + 1 for entry in SPECIAL)])
values6 = st.builds(
    lambda edge, step: min(max(edge + step, 0), MAX6), edges6 | st.integers(0, MAX6), st.integers(-2, 2)
)


@given(values6, values6 | st.none())
@example(0, 2**112 - 1)
@example(0, 2**112)
@example(2**64 - 1, 2**112 + 2**64 - 2)
def test_special_and_wide_ipv6_agree_with_plain_arithmetic(one: int, other: int | None) -> None:
    """The same for addresses of two halves."""
    first, last = sorted((one, one if other is None else other))
    arrays = tuple(np.array([[value >> 64, value & 2**64 - 1]], np.uint64) for value in (first, last))
    expected = any(entry.family == 6 and entry.first <= last and first <= entry.last for entry in SPECIAL)
    assert touches_special6(*arrays)[0] == expected, format_address(6, first)
    assert is_wide6(*arrays)[0] == (last - first + 1 > 2**112)
