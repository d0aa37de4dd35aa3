"""The quirks of real lists, by their number in the feed survey; every one happened."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from blocklistd.collect.formats import FORMATS
from blocklistd.collect.model import Accepted, Refused, Verdict
from blocklistd.collect.parse import parse_bodies
from blocklistd.collect.unpack import BadBody
from blocklistd.collect.vet import vet
from tests.collect.feeds import cidrs, make_feed, parse

DROP = {"format": "ndjson", "records": "@", "columns": {"network": "cidr"}}


def verdict_of(body: bytes | str, **options: object) -> Verdict:
    return vet(make_feed(**options), parse(body, **options))


def database(script: str) -> bytes:
    """The bytes of a database made by an SQL script."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(script)
        return connection.serialize()


def test_quirk_1_prose_with_status_200_is_refused_with_its_first_line() -> None:
    """A rate-limit notice that passes for a list is refused, and the operator reads what it says."""
    verdict = verdict_of("Umm... You can only fetch the data every 30 minutes\nIf you keep trying, you get blocked.\n")
    assert isinstance(verdict, Refused)
    assert verdict.reason == "prose instead of a list"
    assert verdict.detail.startswith("Umm... You can only fetch the data every 30 minutes")


@pytest.mark.parametrize(
    "page", ["<!doctype html>\n<p>192.0.2.1", "\n\n  <HTML>\n192.0.2.1\n192.0.2.2\n", "\ufeff<html>"]
)
def test_quirk_2_html_is_refused_whatever_it_holds(page: str) -> None:
    """The first non-blank byte decides, even when lines of the page are addresses."""
    verdict = verdict_of(page)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "HTML instead of a list"


def test_quirk_3_an_error_text_among_the_data_costs_one_line() -> None:
    """An aggregator pasted ``404: not found`` into its list: that line is refused and counted, the rest is kept."""
    parsed = parse("example.com\n404: not found\nexample.net\n", kind="domain", category="disposable")
    assert (parsed.domains, parsed.counts.rejected) == (("example.com", "example.net"), 1)
    assert parsed.rejects[0].line == 2


def test_quirk_3_an_error_text_alone_is_no_list() -> None:
    """The 14 bytes that a missing file is answered with are refused."""
    assert isinstance(verdict_of("404: Not Found"), Refused)


def test_quirk_4_an_empty_body_is_a_failure_by_default() -> None:
    """No bytes, only blanks and only comments are all refused as empty."""
    for body in ("", "\n\n", "# header\n# only\n"):
        verdict = verdict_of(body)
        assert isinstance(verdict, Refused)
        assert verdict.reason.startswith("empty")


def test_quirk_5_an_empty_body_may_be_right() -> None:
    """With allow_empty a list without entries is accepted, but prose or a page still is not."""
    assert verdict_of("# datasets are currently empty\r\n", allow_empty=True) == Accepted()
    assert verdict_of("", allow_empty=True) == Accepted()
    assert isinstance(verdict_of("Service unavailable\n", allow_empty=True), Refused)
    assert isinstance(verdict_of("<!doctype html>", allow_empty=True), Refused)


def test_quirk_6_malformed_json_rejects_the_whole_version() -> None:
    """No half of a broken document is used, nor of one that is nested beyond reason."""
    options = {"format": "json", "paths": ("prefixes[].ip",)}
    for body in ('{"prefixes": [\n,{"ip": "192.0.2.1"}]}', '{"prefixes": [{"ip": "192.0.2.1"}', "[" * 100_000, ""):
        with pytest.raises(BadBody, match="no JSON"):
            parse(body, **options)


def test_quirk_7_a_truncated_list_of_json_lines_is_refused() -> None:
    """The metadata record says how many records there should be."""
    lines = [f'{{"cidr":"192.0.2.{n}/32"}}' for n in range(20)]
    metadata = '{"type":"metadata","timestamp":1767323045,"records":20}'
    assert verdict_of("\n".join([*lines, metadata]), **DROP) == Accepted()
    verdict = verdict_of("\n".join([*lines[:15], metadata]), **DROP)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "truncated: says 20 records, holds 15"


def test_quirk_8_the_age_of_a_list_is_its_own_date() -> None:
    """The date in the header is found, that of the source before that of the copy."""
    header = (
        "#\n# This File Date   : Wed Dec 22 11:24:23 UTC 2021\n# Source File Date: Tue Dec 21 10:00:00 UTC 2021\n#\n"
    )
    assert parse(header + "192.0.2.1\n").dated == 1640080800.0
    assert parse("# Last update: Sat, 03 Jan 2026 04:05:06 +0200\n192.0.2.1\n").dated == 1767405906.0
    assert parse("; Last-Modified: Sat, 03 Jan 2026 02:05:06 GMT\n192.0.2.1\n").dated == 1767405906.0
    assert parse("// Last updated 2026-01-03\n192.0.2.1\n").dated == 1767398400.0
    assert parse("# Last update: soon\n192.0.2.1\n").dated is None


def test_quirk_15_several_parts_are_one_feed_and_a_part_may_be_empty() -> None:
    """The bodies are joined, a missing newline at the end of one does not glue two lines together."""
    parsed = parse_bodies(make_feed(), [b"192.0.2.1\n192.0.2.2", b"192.0.2.3\n192.0.2.1\n", b""])
    assert cidrs(parsed.v4) == ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"]
    assert (parsed.counts.entries, parsed.counts.unique, parsed.size) == (4, 3, 39)


def test_quirk_17_one_line_of_several_megabytes_is_a_list() -> None:
    """Addresses separated by commas without a newline are all read, a bad one among them is refused alone."""
    cells = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(200_000)]
    cells[1234], cells[1235] = "10.0.0.256", "64.0.0.0/3"
    parsed = parse("# header\n" + ",".join(cells))
    assert (parsed.counts.entries, parsed.counts.unique, parsed.counts.rejected) == (199_998, 199_998, 2)
    assert {(refused.line, refused.text) for refused in parsed.rejects} == {(2, "10.0.0.256"), (2, "64.0.0.0/3")}


def test_quirk_17_a_long_line_does_not_throw_the_list_away() -> None:
    """A line of any length that is no list counts by its start, and what follows it keeps its number."""
    for start, entries in (("192.0.2.1 ", 2), ("junk ", 1), ("# ", 1)):
        parsed = parse("192.0.2.9\n" + start + "x" * 3_000_000 + "\n192.0.2.1\n300.0.0.1\n")
        assert parsed.counts.unique == 2
        assert parsed.counts.entries == entries + 1
        assert parsed.rejects[-1].line == 4


def test_quirk_21_lines_of_nul_bytes_are_dropped_and_counted() -> None:
    """NUL bytes refuse their own line only, and are made visible in the report."""
    parsed = parse(b"\0" * 14 + b"\n" + b"\0" * 15 + b"\n192.0.2.1\n")
    assert (cidrs(parsed.v4), parsed.counts.rejected) == (["192.0.2.1/32"], 2)
    assert parsed.rejects[0].text == "\\x00" * 14


def test_quirk_22_a_blank_after_the_network_is_stripped() -> None:
    """Each line of drop.txt ends with a blank."""
    assert cidrs(parse("192.0.2.0/24 \n198.51.100.0/24 \n").v4) == ["192.0.2.0/24", "198.51.100.0/24"]


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_quirk_23_line_ends_of_any_system(end: str) -> None:
    """CRLF, a lone CR and LF are all one line end, in texts and tables and JSON."""
    lines = ["# header", "192.0.2.1", "2001:db8::1", "junk"]
    parsed = parse(end.join(lines) + end)
    assert (parsed.counts.entries, parsed.rejects[0].line) == (2, 4)
    table = parse(f"a,b{end}1,192.0.2.1{end}", format="csv", header=True, columns={"address": "b"})
    assert cidrs(table.v4) == ["192.0.2.1/32"]
    assert cidrs(parse(f'[{end}"192.0.2.1"{end}]{end}', format="json", paths=("@",)).v4) == ["192.0.2.1/32"]


def test_quirk_24_the_last_line_counts_without_a_newline() -> None:
    """A missing final newline costs no entry, in any line format."""
    assert parse("192.0.2.1\n192.0.2.2").counts.entries == 2
    assert parse("1,192.0.2.1\n2,192.0.2.2", format="csv", columns={"address": 2}).counts.entries == 2
    assert parse('{"cidr":"192.0.2.1"}\n{"cidr":"192.0.2.2"}', **DROP).counts.entries == 2


def test_quirk_25_a_byte_order_mark_is_skipped() -> None:
    """A BOM at the start is neither part of the first entry nor broken JSON."""
    bom = b"\xef\xbb\xbf"
    assert parse(bom + b"192.0.2.1\n").counts.rejected == 0
    assert parse(bom + b'["192.0.2.1"]', format="json", paths=("@",)).counts.entries == 1
    assert (
        parse(bom + b"address\n192.0.2.1\n", format="csv", header=True, columns={"address": "address"}).counts.entries
        == 1
    )


def test_quirk_26_text_that_is_no_utf_8_does_no_harm() -> None:
    """Broken bytes are replaced, the addresses beside them are kept, names keep their letters."""
    assert cidrs(parse(b"192.0.2.1 # M\xfcller\n").v4) == ["192.0.2.1/32"]
    parsed = parse(
        b"192.0.2.1,M\xfcller\n192.0.2.2,M\xc3\xbcller\n", format="csv", columns={"address": 1, "provider": 2}
    )
    assert parsed.texts == ("", "M\N{REPLACEMENT CHARACTER}ller", "Müller")
    assert parse("bücher.example\n", kind="domain", category="spam").domains == ("xn--bcher-kva.example",)


def test_quirk_27_every_style_of_comment() -> None:
    """Whole lines with ``#``, ``;`` and ``//``, comments behind the address, PGP armour: none is a refused line."""
    body = (
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA1\n\n# a\n; b\n// c\n  # d\n192.0.2.1 # date, host, DE\n"
        "192.0.2.2;reason\n192.0.2.3#x\n"
        "-----BEGIN PGP SIGNATURE-----\nVersion: 1\n\niEYE\n-----END PGP SIGNATURE-----\n"
    )
    parsed = parse(body)
    assert (parsed.counts.entries, parsed.counts.rejected) == (3, 0)


def test_quirk_27_a_prose_header_costs_only_its_lines() -> None:
    """Some lines of prose above and below are counted, and a list that is mostly entries is accepted."""
    body = (
        "Proxy list updated at noon\n\n" + "".join(f"192.0.2.{n}:8080 DE-N-S! + \n" for n in range(9)) + "Support us\n"
    )
    parsed = parse(body)
    assert (parsed.counts.entries, parsed.counts.rejected) == (9, 2)
    assert verdict_of(body) == Accepted()


def test_quirk_28_comment_characters_are_data_in_tables() -> None:
    """A ``#`` inside a cell and a ``;`` as separator are not the start of a comment."""
    parsed = parse("192.0.2.1,ACME #1\n# comment\n", format="csv", columns={"address": 1, "provider": 2})
    assert (parsed.texts, parsed.counts.rejected) == (("", "ACME #1"), 0)
    parsed = parse("Jan 03 2026; 192.0.2.0/24; x\n", format="csv", delimiter=";", columns={"network": 2})
    assert cidrs(parsed.v4) == ["192.0.2.0/24"]


def test_quirk_29_a_header_row_is_read_or_tolerated() -> None:
    """``header: true`` takes the names; without it one unparsable line at the top is no refusal, a second one is."""
    body = "Start\tEnd\tAttacks\n192.0.2.0\t192.0.2.255\t17\n"
    named = parse(body, format="csv", delimiter="\t", header=True, columns={"first": "start", "last": "END"})
    numbered = parse(body, format="csv", delimiter="\t", columns={"first": 1, "last": 2})
    assert cidrs(named.v4) == cidrs(numbered.v4) == ["192.0.2.0/24"]
    assert named.counts.rejected == numbered.counts.rejected == 0
    assert (
        parse("as of today\n" + body, format="csv", delimiter="\t", columns={"first": 1, "last": 2}).counts.rejected
        == 1
    )


def test_quirk_30_blanks_around_separators_and_quotes() -> None:
    """Cells are stripped before they are unquoted: three quoting styles in one file are one table."""
    body = '64496,"One, Inc."\n64497, "Two, Ltd"\n"64498","Three"\n 64499 , Four \n'
    assert parse(body, format="csv", kind="asn", columns={"asn": 1, "name": 2}).asns.tolist() == [
        64496,
        64497,
        64498,
        64499,
    ]
    parsed = parse("id, address, port\nAB, 192.0.2.1, 444\n", format="csv", header=True, columns={"address": "address"})
    assert cidrs(parsed.v4) == ["192.0.2.1/32"]


def test_quirk_31_impossible_addresses_are_refused_never_clipped() -> None:
    """An octet over 255 refuses its line."""
    parsed = parse("038.555.256.497\n202.36.397.438\n192.0.2.1.5\n192.0.2\n192.0.2.1\n")
    assert (cidrs(parsed.v4), parsed.counts.rejected) == (["192.0.2.1/32"], 4)


def test_quirk_32_look_alikes_are_no_addresses() -> None:
    """Times, short hexadecimal words, dates and version numbers are whole tokens that do not parse."""
    assert parse("01:33:54\n1:1:e\n2014:Sep:12\nv1.2.3.4\n1.2.3.4-beta\n1.2.3\n").counts.entries == 0


def test_quirk_33_zero_padded_octets_are_decimal() -> None:
    """``082`` is 82 and ``010`` is 10, in lines and in tables."""
    assert cidrs(parse("192.000.002.010\n").v4) == ["192.0.2.10/32"]
    assert cidrs(parse("x 192.000.002.082\n", format="regex", pattern=r"^x (?P<address>\S+)").v4) == ["192.0.2.82/32"]


def test_quirk_34_host_bits_are_cleared_and_counted() -> None:
    """A network with host bits is accepted as the network it lies in."""
    parsed = parse("192.0.2.76/24\n2001:db8::1/32\n198.51.100.0/24\n")
    assert (cidrs(parsed.v4), cidrs(parsed.v6)) == (["192.0.2.0/24", "198.51.100.0/24"], ["2001:db8::/32"])
    assert parsed.counts.masked == 2


def test_quirk_35_special_use_space_is_counted() -> None:
    """Private, reserved and documentation space is counted; the catalogue decides what to take out."""
    parsed = parse("10.0.0.1\n192.168.1.0/24\nfe80::1\n8.8.8.8\n172.0.0.0/8\n2600::1\n")
    assert (parsed.counts.entries, parsed.counts.special) == (6, 4)


def test_quirk_36_very_wide_networks_are_refused() -> None:
    """Wider than /8 or /16 needs allow_wide or a category of bogons, and the whole space is always refused."""
    body = "32.0.0.0/6\n3.0.0.0/8\n2001::/15\n2001::/16\n0.0.0.0/0\n::/0\n0.0.0.0-255.255.255.255\n"
    parsed = parse(body)
    assert (cidrs(parsed.v4), cidrs(parsed.v6)) == (["3.0.0.0/8"], ["2001::/16"])
    assert (parsed.counts.wide, parsed.counts.rejected) == (5, 5)
    for options in ({"allow_wide": True}, {"category": "bogon"}):
        allowed = parse(body, **options)
        assert cidrs(allowed.v4) == ["3.0.0.0/8", "32.0.0.0/6"]
        assert cidrs(allowed.v6) == ["2000::/15", "2001::/16"]
        assert allowed.counts.wide == 3


def test_quirk_37_ranges_off_network_borders() -> None:
    """Inclusive ranges stay what they are, and an end before its start is refused."""
    parsed = parse("192.0.2.3,192.0.2.9,x\n192.0.2.9,192.0.2.3,x\n", format="csv", columns={"first": 1, "last": 2})
    assert (parsed.v4.first.tolist(), parsed.v4.last.tolist()) == ([3221225987], [3221225993])
    assert parsed.counts.rejected == 1


def test_quirk_38_ends_of_the_address_space_do_not_wrap() -> None:
    """The last addresses of both families are entries like any other."""
    parsed = parse(
        "255.255.255.255\n255.255.255.0-255.255.255.255\nffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\nffff::/16\n0.0.0.0\n::\n"
    )
    assert cidrs(parsed.v4) == ["0.0.0.0/32", "255.255.255.0/24", "255.255.255.255/32"]
    assert cidrs(parsed.v6) == ["::/128", "ffff::/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]


def test_quirk_39_both_families_and_all_wrappings_in_one_file() -> None:
    """Bracketed IPv6 with a port, ``scheme://ip:port`` and URLs stand beside plain addresses."""
    parsed = parse(
        "192.0.2.1\n2001:db8::1\n[2001:db8::2]:9001\nsocks4://192.0.2.2:1080\nhttp://[2001:db8::3]/x\n192.0.2.3:80\n"
    )
    assert cidrs(parsed.v4) == ["192.0.2.1/32", "192.0.2.2/32", "192.0.2.3/32"]
    assert cidrs(parsed.v6) == ["2001:db8::1/128", "2001:db8::2/128", "2001:db8::3/128"]


def test_quirk_40_mapped_addresses_are_ipv4() -> None:
    """``::ffff:a.b.c.d`` is a.b.c.d, in lines and in columns."""
    assert cidrs(parse("::ffff:192.0.2.1\n::ffff:c000:202\n::ffff:192.0.2.0/120\n").v4) == [
        "192.0.2.0/24",
        "192.0.2.1/32",
        "192.0.2.2/32",
    ]
    parsed = parse('["::ffff:192.0.2.1", "2001:db8::1"]', format="json", paths=("@",))
    assert (cidrs(parsed.v4), cidrs(parsed.v6)) == (["192.0.2.1/32"], ["2001:db8::1/128"])


def test_quirk_41_lists_of_addresses_may_hold_networks() -> None:
    """A list called .ipset with /31 and /28 in it is read like any other."""
    assert parse("192.0.2.0/31\n192.0.2.16/28\n192.0.2.64\n").counts.entries == 3


def test_quirk_42_networks_written_out_stay_single_entries() -> None:
    """256 addresses are 256 entries here; merging is the business of the index."""
    assert len(parse("".join(f"192.0.2.{n}\n" for n in range(256))).v4) == 256


def test_quirk_43_the_address_stands_where_the_columns_say() -> None:
    """Second, third or last but one, counted from the right where a name may hold the separator."""
    pipes = "64496 | With | pipes | 192.0.2.1 | 2026-01-02 | ssh\n64496 | Plain | 192.0.2.2 | 2026-01-02 | ssh\n"
    assert cidrs(parse(pipes, format="csv", delimiter="|", columns={"address": -3}).v4) == [
        "192.0.2.1/32",
        "192.0.2.2/32",
    ]
    assert cidrs(parse("2026-01-02,192.0.2.1,443\n", format="csv", columns={"address": 2}).v4) == ["192.0.2.1/32"]
    apache = parse("order allow,deny\ndeny from 192.0.2.0/24\n", format="regex", pattern=r"^deny from (?P<network>\S+)")
    assert (cidrs(apache.v4), apache.counts.rejected) == (["192.0.2.0/24"], 0)
    ipset = parse("create x hash:net\nadd x 192.0.2.0/24\n", format="regex", pattern=r"^add \S+ (?P<network>\S+)")
    assert cidrs(ipset.v4) == ["192.0.2.0/24"]


def test_quirk_44_the_second_address_of_a_row_is_not_taken() -> None:
    """Source and destination in one row: only the named column counts, even where it is no address."""
    parsed = parse("x,192.0.2.1,198.51.100.1\ny,-,198.51.100.2\n", format="csv", columns={"address": 2})
    assert (cidrs(parsed.v4), parsed.counts.rejected) == (["192.0.2.1/32"], 1)
    row = "192.0.2.1,AS64496,DE,1767323045,bot,sinkhole.example,198.51.100.1,198.51.100.2,80\n"
    assert cidrs(parse(row).v4) == ["192.0.2.1/32"]  # a line with cells of many kinds is no list of addresses


def test_quirk_45_duplicates_are_counted_and_kept_once() -> None:
    """Entries count lines, unique counts distinct entries."""
    parsed = parse("192.0.2.1\n192.0.2.1\n192.0.2.0/24\n192.0.2.1\n2001:db8::1\n2001:db8:0::1\n")
    assert (parsed.counts.entries, parsed.counts.unique) == (6, 3)
    assert cidrs(parsed.v4) == ["192.0.2.0/24", "192.0.2.1/32"]


def test_quirk_46_json_gives_only_what_the_paths_name() -> None:
    """Entry addresses, keys and names beside the exits stay out."""
    body = '{"keys": ["AAAA"], "servers": [{"entry": "192.0.2.1", "exit": "192.0.2.2"}, {"entry": "192.0.2.3"}]}'
    parsed = parse(body, format="json", paths=("servers[].exit",))
    assert (cidrs(parsed.v4), parsed.counts.rejected) == (["192.0.2.2/32"], 0)
    fallback = parse(body, format="json", paths=("servers[].[exit || entry][]",))
    assert cidrs(fallback.v4) == ["192.0.2.2/32", "192.0.2.3/32"]


def test_quirk_47_block_records_are_picked_by_keyword_and_keep_the_latest_time() -> None:
    """Of several lines for one exit the latest time is kept."""
    body = "ExitNode AB\nExitAddress 192.0.2.1 2026-01-03 00:00:00\nExitNode CD\nExitAddress 192.0.2.1 2026-01-02\n"
    parsed = parse(body, format="regex", pattern=r"^ExitAddress (?P<address>\S+) (?P<last_seen>.+)$")
    assert parsed.v4.columns["last_seen"].tolist() == [1767398400]


def test_quirk_48_host_names_in_address_lists_are_skipped_and_counted() -> None:
    """Nothing is resolved; a list of nothing but names is refused."""
    body = "host.example.org\t192.0.2.1\n||example.net^\nexample.com,Germany\n"
    parsed = parse(body)
    assert (parsed.counts.entries, parsed.counts.rejected) == (0, 3)
    assert isinstance(verdict_of(body), Refused)


def test_quirk_49_junk_among_domains_is_refused_or_cleaned() -> None:
    """A name has a dot; localhost is never listed; slashes, dots and wildcards are understood."""
    body = (
        "instances\nexample.com/\nexample.net.\nasean-mail\n127.0.0.1 localhost\n127.0.0.1 a.example\n::1 b.example\n"
        "*.c.example\nhttp://d.example/path…\nhttp://e.exam…\nlocalhost.localdomain\nfoo.localhost\n"
    )
    parsed = parse(body, kind="domain", category="spam")
    assert parsed.domains == ("*.c.example", "a.example", "b.example", "d.example", "example.com", "example.net")
    assert parsed.counts.rejected == 6


def test_quirk_49_wildcard_files_stand_for_everything_below() -> None:
    """``subdomains`` turns each name of a file into a wildcard."""
    parsed = parse(
        '["one.example", "*.two.example"]',
        format="json",
        kind="domain",
        category="disposable",
        paths=("@",),
        subdomains=True,
    )
    assert parsed.domains == ("*.one.example", "*.two.example")


def test_quirk_50_a_page_without_rows_is_a_failure() -> None:
    """A scrape that finds nothing is refused as empty, not taken for an empty list."""
    options = {"format": "regex", "pattern": r"ip=(?P<address>[^\"]+)\""}
    assert verdict_of('<a href="?ip=192.0.2.1">', **options) == Accepted()
    verdict = verdict_of("<html>checking your browser</html>", **options)
    assert isinstance(verdict, Refused)
    assert verdict.reason == "empty"


def test_quirk_51_a_fail2ban_database_in_wal_mode_is_read() -> None:
    """The copy of a live database says that it has a write-ahead log; what is in the file is read all the same."""
    body = database(
        "CREATE TABLE bans (jail, ip, timeofban, data); INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1, '{}')"
    )
    body = body[:18] + b"\x02\x02" + body[20:]
    assert cidrs(parse(body, format="fail2ban").v4) == ["192.0.2.1/32"]


BANS = (
    "CREATE TABLE bips (ip, jail, timeofban, bantime, bancount, data);"
    "INSERT INTO bips VALUES ('192.0.2.1', 'sshd', 1000, 600, 1, '{}');"
    "INSERT INTO bips VALUES ('192.0.2.2', 'sshd', 1000, -1, 1, '{}');"
)


@pytest.mark.parametrize(("now", "banned"), [(1599.5, 2), (1600.0, 1), (4e9, 1)])
def test_quirk_51_a_ban_counts_while_it_lasts(now: float, banned: int) -> None:
    """The same bytes hold one ban less when its time is over, and -1 is for ever."""
    feed = make_feed(format="fail2ban")
    parsed = parse_bodies(feed, [database(BANS)], now)
    assert cidrs(parsed.v4) == ["192.0.2.1/32", "192.0.2.2/32"][-banned:]
    assert parsed.counts.entries == banned


def test_quirk_51_without_a_moment_the_clock_decides() -> None:
    """A ban that began just now is in force, one of 1970 is over."""
    script = BANS + f"INSERT INTO bips VALUES ('192.0.2.3', 'sshd', {time.time()}, 600, 1, NULL);"
    assert cidrs(parse(database(script), format="fail2ban").v4) == ["192.0.2.2/32", "192.0.2.3/32"]


def test_quirk_51_only_formats_whose_entries_end_are_timed() -> None:
    """Who keeps parsed entries learns from the table which bytes must be read again as time goes by."""
    assert [name for name, found in FORMATS.items() if found.timed] == ["fail2ban"]


def test_quirk_51_no_bans_now_is_an_empty_list() -> None:
    """An empty table of current bans counts, whatever the record of old ones holds."""
    body = database(
        "CREATE TABLE bans (jail, ip, timeofban, bantime, bancount, data);"
        "INSERT INTO bans VALUES ('sshd', '192.0.2.1', 1, 1, 1, '{}');"
        "CREATE TABLE bips (ip, jail, timeofban, bantime, bancount, data);"
    )
    assert parse(body, format="fail2ban").counts.entries == 0
    assert vet(make_feed(format="fail2ban", allow_empty=True), parse(body, format="fail2ban")) == Accepted()


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE other (a)",
        "CREATE TABLE bans (a, b)",
        "CREATE VIEW bips AS SELECT 1 AS ip, 2 AS jail, 3 AS timeofban",
    ],
)
def test_quirk_51_a_database_without_bans_is_refused(script: str) -> None:
    """Another program's database, or one whose tables are not fail2ban's, is no list."""
    with pytest.raises(BadBody, match="no table of bans"):
        parse(database(script), format="fail2ban")


def test_quirk_51_a_broken_database_is_refused() -> None:
    """A file cut off in the middle is an error, not a shorter list."""
    script = "CREATE TABLE bans (jail, ip, timeofban, data);" + "".join(
        f"INSERT INTO bans VALUES ('sshd', '192.0.2.{n}', {n}, '{'x' * 200}');" for n in range(200)
    )
    body = database(script)
    assert parse(body, format="fail2ban").counts.entries == 200
    for cut in (body[: len(body) // 2], body[:100], body[:4096] + b"\xff" * (len(body) - 4096)):
        with pytest.raises(BadBody, match="broken database"):
            parse(cut, format="fail2ban")


@pytest.mark.parametrize("body", ["[{'sshd': ['192.0.2.1'", "[1]", '{"sshd": "192.0.2.1"}'])
def test_quirk_51_another_json_is_no_output_of_the_client(body: str) -> None:
    """JSON that is not jails with lists of addresses is refused as a whole."""
    with pytest.raises(BadBody, match="no output of fail2ban-client banned"):
        parse(body, format="fail2ban")
