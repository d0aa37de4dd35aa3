"""From bodies to a parsed feed: columns, counts, refusals, and what all formats share."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd.addresses import networks_of
from blocklistd.collect.formats import FORMATS
from blocklistd.collect.model import KEPT_REJECTS, Networks, Refused, Reject
from blocklistd.collect.parse import parse_bodies, parse_feed
from blocklistd.collect.unpack import BadBody
from tests.collect.feeds import cidrs, make_feed, parse

TABLE = {"format": "csv", "columns": {"address": 1, "provider": 2, "first_seen": 3, "last_seen": 4, "count": 5}}


def test_stored_bodies_are_read_unpacked_and_joined(tmp_path: Path) -> None:
    """Each part may be packed in its own way; the order of the parts is the order of the URLs."""
    (tmp_path / "a").write_bytes(gzip.compress(b"# first\n192.0.2.1\n"))
    (tmp_path / "b").write_bytes(b"192.0.2.2\nbad\n")
    parsed = parse_feed(make_feed(), [tmp_path / "a", tmp_path / "b"])
    assert cidrs(parsed.v4) == ["192.0.2.1/32", "192.0.2.2/32"]
    assert (parsed.feed_id, parsed.size, parsed.opening) == ("example", 32, "# first 192.0.2.1 ")


def test_one_bad_part_rejects_the_whole_version(tmp_path: Path) -> None:
    """A part that does not unpack is not left out quietly."""
    (tmp_path / "a").write_bytes(b"192.0.2.1\n")
    (tmp_path / "b").write_bytes(gzip.compress(b"192.0.2.2\n")[:-4])
    with pytest.raises(BadBody, match="broken archive"):
        parse_feed(make_feed(), [tmp_path / "a", tmp_path / "b"])


def test_max_bytes_holds_for_all_parts_together(tmp_path: Path) -> None:
    """Four packed parts may not unpack to more than one list may, nor may plain ones be larger."""
    part = b"192.0.2.1\n" * 30
    paths = [tmp_path / name for name in "abcd"]
    for pack in (gzip.compress, bz2.compress, lzma.compress, bytes):
        for path in paths:
            path.write_bytes(pack(part))
        assert parse_feed(make_feed(max_bytes=1200), paths).size == 1200
        with pytest.raises(BadBody, match=r"(larger|unpacks to more) than 1\.2 KiB, all parts together$"):
            parse_feed(make_feed(max_bytes=1199), paths)


def test_entries_are_sorted_and_unique() -> None:
    """By first address, and of two with the same first the wider one comes first."""
    parsed = parse("203.0.113.0/25\n192.0.2.1\n203.0.113.0/24\n192.0.2.1\n2001:db8::1\n2001:db8::/32\n2001:db8::/64\n")
    assert cidrs(parsed.v4) == ["192.0.2.1/32", "203.0.113.0/24", "203.0.113.0/25"]
    assert cidrs(parsed.v6) == ["2001:db8::/32", "2001:db8::/64", "2001:db8::1/128"]
    assert parsed.v4.first.dtype == np.uint32
    assert parsed.v6.first.dtype == np.uint64
    assert parsed.v6.first.shape == (3, 2)


def test_columns_of_duplicates_are_merged() -> None:
    """The latest last_seen, the earliest known first_seen, the largest count and the first known text are kept."""
    body = (
        "192.0.2.1,,2026-01-05,2026-01-06,7\n"
        "192.0.2.1,Example,2026-01-03,2026-01-04,9\n"
        "192.0.2.1,Other,,2026-01-08,1\n"
        "2001:db8::1,Example,,,\n"
        "2001:db8::1,Other,2026-01-01,,\n"
    )
    parsed = parse(body, **TABLE)
    assert {role: column.tolist() for role, column in parsed.v4.columns.items()} == {
        "provider": [1],
        "first_seen": [1767398400],
        "last_seen": [1767830400],
        "count": [9],
    }
    assert parsed.texts == ("", "Example", "Other")
    assert parsed.v6.columns["provider"].tolist() == [1]
    assert parsed.v6.columns["first_seen"].tolist() == [1767225600]


def test_columns_follow_their_entries_through_sorting() -> None:
    """Each value stays with the entry of its row."""
    parsed = parse("".join(f"192.0.2.{n},p{n},,,{n}\n" for n in range(99, 0, -1)), **TABLE)
    counts = parsed.v4.columns["count"].tolist()
    assert counts == sorted(counts)
    assert [parsed.texts[index] for index in parsed.v4.columns["provider"]] == [f"p{n}" for n in range(1, 100)]
    nested = parse(
        "192.0.2.0/25,,,,1\n192.0.2.0/24,,,,2\n192.0.2.0/25,,,,3\n2001:db8::/64,,,,4\n2001:db8::/32,,,,5\n", **TABLE
    )
    assert (cidrs(nested.v4), nested.v4.columns["count"].tolist()) == (["192.0.2.0/24", "192.0.2.0/25"], [2, 3])
    assert (cidrs(nested.v6), nested.v6.columns["count"].tolist()) == (["2001:db8::/32", "2001:db8::/64"], [5, 4])


def test_a_column_exists_only_where_the_feed_gives_it() -> None:
    """A plain list has none."""
    assert parse("192.0.2.1\n2001:db8::1\n").v4.columns == {}


def test_texts_are_bounded() -> None:
    """A provider's name of any length is cut."""
    parsed = parse("192.0.2.1," + "x" * 5000 + "\n", format="csv", columns={"address": 1, "provider": 2})
    assert [len(text) for text in parsed.texts] == [0, 200]


def test_control_characters_of_texts_become_blanks() -> None:
    """A NUL or an escape in a provider's name neither ends the text nor reaches a terminal, and equal texts are one."""
    names = ["One\0Two", "One\x1bTwo", "One Two", "\0", "A\u202eB", "last"]
    body = json.dumps([{"ip": f"192.0.2.{n}", "by": name} for n, name in enumerate(names)])
    parsed = parse(body, format="json", records="@", columns={"address": "ip", "provider": "by"})
    assert parsed.texts == ("", "One Two", "A B", "last")
    assert parsed.v4.columns["provider"].tolist() == [1, 1, 1, 0, 2, 3]


def test_min_count_leaves_entries_out_and_counts_them() -> None:
    """Entries below the minimum are neither entries nor refused; one without a count is below any minimum."""
    body = "192.0.2.1\t1\n192.0.2.2\t3\n192.0.2.3\t\n192.0.2.4\t17\n"
    parsed = parse(body, format="csv", delimiter="\t", columns={"address": 1, "count": 2}, min_count=3)
    assert cidrs(parsed.v4) == ["192.0.2.2/32", "192.0.2.4/32"]
    assert (parsed.counts.entries, parsed.counts.below_minimum, parsed.counts.rejected) == (2, 2, 0)


def test_tables_need_their_number_or_country() -> None:
    """A row of a table without what the table is for is refused."""
    parsed = parse(
        "192.0.2.0,192.0.2.255,de\n198.51.100.0,198.51.100.255,Germany\n",
        format="csv",
        kind="country_table",
        columns={"first": 1, "last": 2, "country": 3},
    )
    assert (cidrs(parsed.v4), parsed.texts) == (["192.0.2.0/24"], ("", "DE"))
    assert parsed.rejects[0].reason == "has no country code"


def test_tables_may_hold_wide_ranges() -> None:
    """An ASN table is exempt from the rule of /8."""
    parsed = parse(
        "16.0.0.0,31.255.255.255,64496\n", format="csv", kind="asn_table", columns={"first": 1, "last": 2, "asn": 3}
    )
    assert parsed.counts.entries == 1


def test_the_network_column_stands_in_for_a_missing_address() -> None:
    """Where a record gives either, whichever is there is taken."""
    body = '[{"ip": "192.0.2.1"}, {"net": "198.51.100.0/24"}, {"ip": null, "net": null}]'
    parsed = parse(body, format="json", records="@", columns={"address": "ip", "network": "net"})
    assert (cidrs(parsed.v4), parsed.counts.rejected) == (["192.0.2.1/32", "198.51.100.0/24"], 0)


def test_refused_lines_are_kept_with_number_and_text() -> None:
    """The first few in the order of the list, control characters made visible, long lines cut; the rest is counted."""
    body = "192.0.2.1\n" + "\x1b[31mred" + "x" * 200 + "\n" + "\n".join(f"bad{n}" for n in range(20)) + "\n"
    parsed = parse(body)
    assert parsed.counts.rejected == 21
    assert [refused.line for refused in parsed.rejects] == list(range(2, 2 + KEPT_REJECTS))
    assert parsed.rejects[0].text.startswith("\\x1b[31mred")
    assert len(parsed.rejects[0].text) == 103


def test_refused_networks_are_named_on_the_fast_path() -> None:
    """A plain network that is too wide is reported with its line."""
    refused = parse("192.0.2.1\n64.0.0.0/3\n").rejects[0]
    assert (refused.line, refused.text, refused.reason) == (2, "64.0.0.0/3", "is too wide")


def test_line_numbers_hold_across_blocks() -> None:
    """A list of several megabytes is read in blocks, and a refused line far down keeps its number."""
    count = 200_000
    body = "".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}\n" for n in range(count)) + "bad\n"
    parsed = parse(body)
    assert (parsed.counts.entries, parsed.rejects[0].line) == (count, count + 1)
    table = parse("x,y\n" + body.replace("\n", ",1\n"), format="csv", columns={"address": 1, "count": 2})
    assert (table.counts.entries, table.rejects[0].line) == (count, count + 2)


def test_a_missing_column_is_named_with_those_that_are_there() -> None:
    """A renamed column rejects the version: the operator reads what the header says now."""
    with pytest.raises(BadBody, match=r"no column 'ip'; there are: address, tags"):
        parse("address, tags\n192.0.2.1,x\n", format="csv", header=True, columns={"address": "ip"})


def test_refusals_are_safe_to_print() -> None:
    """Whatever of a list gets into a reason, as the names of its columns do, is shown escaped."""
    with pytest.raises(BadBody) as caught:
        parse("\x1b]0;owned\x07,b\n192.0.2.1,x\n", format="csv", header=True, columns={"address": "ip"})
    assert Refused(str(caught.value)).reason == r"no column 'ip'; there are: \x1b]0;owned\x07, b"
    assert Refused("no", "\x1b[2J").detail == r"\x1b[2J"
    assert Reject(1, "\x9b2J", "is \x00").text + Reject(1, "", "is \x00").reason == r"\x9b2Jis \x00"


def test_an_unclosed_quote_spoils_its_line_alone() -> None:
    """The lines after it are read."""
    body = 'a,192.0.2.1\n"b,192.0.2.2\nc,192.0.2.3\n'
    parsed = parse(body, format="csv", columns={"address": 2})
    assert (cidrs(parsed.v4), [refused.line for refused in parsed.rejects]) == (["192.0.2.1/32", "192.0.2.3/32"], [2])


def test_a_cell_of_any_length_is_no_crash() -> None:
    """A quoted cell longer than the csv module allows refuses its line."""
    parsed = parse(
        '"' + "x" * 200_000 + '",192.0.2.1\n1,192.0.2.2\n', format="csv", columns={"address": 2}, header=False
    )
    assert cidrs(parsed.v4) == ["192.0.2.2/32"]


def test_a_path_over_another_shape_is_a_bad_body() -> None:
    """An expression that cannot be applied to the document rejects it, in ndjson it refuses the line."""
    options = {"category": "tor", "paths": ("length(items)",)}
    with pytest.raises(BadBody, match="not the expected document"):
        parse('{"items": 5}', format="json", **options)
    assert parse('{"items": 5}\n', format="ndjson", **options).counts.rejected == 1


def test_declared_counts_of_all_parts_are_added() -> None:
    """Where a part says nothing, nothing is declared for the whole."""
    feed = make_feed(format="ndjson", records="@", columns={"network": "cidr"})
    one = b'{"cidr":"192.0.2.1"}\n{"type":"metadata","records":1,"timestamp":5}\n'
    two = b'{"cidr":"2001:db8::1"}\n{"type":"metadata","records":1,"timestamp":"9"}\n'
    assert parse_bodies(feed, [one, two]).declared == 2
    assert parse_bodies(feed, [one, two]).dated == 9.0
    assert parse_bodies(feed, [one, b'{"cidr":"192.0.2.9"}\n']).declared is None


def test_the_opening_is_short_and_safe_to_print() -> None:
    """No control character of a body reaches a terminal through a report."""
    opening = parse("\x1b]0;title\x07 Sorry\n\tnot now " + "x" * 1000).opening
    assert opening.startswith("\\x1b]0;title\\x07 Sorry  not now")
    assert opening.isprintable()


bodies = st.binary(max_size=300) | st.text("0123456789.,:;#/-\"'[]{}\n\r\t ab\x00é", max_size=200).map(str.encode)
OPTIONS: dict[str, dict[str, Any]] = {
    "lines": {},
    "csv": {"columns": {"address": 1, "provider": -1, "last_seen": 2}},
    "json": {"paths": ("@", "a")},
    "ndjson": {"records": "@", "columns": {"address": "a"}},
    "regex": {"pattern": r"(?P<address>[0-9.]+)"},
    "fail2ban": {},
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(body=bodies)
def test_any_bytes_are_parsed_or_refused(name: str, body: bytes) -> None:
    """Whatever a stranger sends, a reader gives a sorted and consistent result or BadBody, never another error."""
    try:
        parsed = parse_bodies(make_feed(format=name, **OPTIONS[name]), [body])
    except BadBody:
        return
    for networks in (parsed.v4, parsed.v6):
        keys = [(first, -last) for first, last in ranges(networks)]
        assert keys == sorted(set(keys))
        assert all(len(column) == len(networks) for column in networks.columns.values())
        assert all(networks_of(networks.family, *pair) for pair in ranges(networks))
    assert parsed.counts.unique == len(parsed.v4) + len(parsed.v6) <= parsed.counts.entries
    assert len(parsed.rejects) == min(parsed.counts.rejected, KEPT_REJECTS)


def ranges(networks: Networks) -> list[tuple[int, int]]:
    if networks.family == 4:
        return list(zip(networks.first.tolist(), networks.last.tolist(), strict=True))
    return [
        (first[0] << 64 | first[1], last[0] << 64 | last[1])
        for first, last in zip(networks.first.tolist(), networks.last.tolist(), strict=True)
    ]
