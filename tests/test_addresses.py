"""Addresses and ranges agree with the standard library, and every notation of a list is read or refused."""

from __future__ import annotations

import ipaddress
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.addresses import (
    MAPPED,
    MAX4,
    MAX6,
    SPECIAL,
    Entry,
    canonical,
    embedded_ipv4,
    format_address,
    is_special,
    is_translated,
    netmask_length,
    networks_of,
    parse_address,
    parse_entry,
    range_between,
)
from blocklistd.errors import BadAddress

pytestmark = pytest.mark.usefixtures("code")

EDGES4 = [0, 1, 2**24 - 1, 2**31, MAX4 - 1, MAX4]
EDGES6 = [0, 1, 2**32 - 1, 2**32, MAPPED - 1, MAPPED + 2**32, 2**64, 2**127, MAX6 - 1, MAX6]
VALUES4 = st.one_of(st.sampled_from(EDGES4), st.integers(0, MAX4))
VALUES6 = st.one_of(st.sampled_from(EDGES6), st.integers(0, MAX6), st.integers(0, 2**20).map(lambda n: n << 100))
QUESTIONS = st.one_of(
    st.text(max_size=40),
    st.text("0123456789abcdef.:", max_size=40),
    VALUES4.map(lambda value: str(ipaddress.IPv4Address(value))),
    VALUES6.map(lambda value: str(ipaddress.IPv6Address(value))),
    VALUES6.map(lambda value: ipaddress.IPv6Address(value).exploded.upper()),
    VALUES4.map(lambda value: f"::ffff:{ipaddress.IPv4Address(value)}"),
    VALUES4.map(lambda value: f"64:ff9b::{ipaddress.IPv4Address(value)}"),
)


def is_mapped(value: int) -> bool:
    return value >> 32 == 0xFFFF


# ── questions ─────────────────────────────────────────────────────────────────────────────────────────


@given(QUESTIONS)
def test_question_is_read_like_the_standard_library(text: str) -> None:
    """Exactly what ``ipaddress`` takes is an address, of the same value; zones are not, mapped ones are IPv4."""
    try:
        expected = ipaddress.ip_address(text)
    except ValueError:
        expected = None
    if expected is None or "%" in text:
        with pytest.raises(BadAddress):
            parse_address(text)
        with pytest.raises(BadAddress):
            canonical(text)
        return
    mapped = expected.ipv4_mapped if isinstance(expected, ipaddress.IPv6Address) else None
    expected = mapped or expected
    assert parse_address(text) == (expected.version, int(expected))
    assert canonical(text) == str(expected)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "192.0.2.1 ", " 192.0.2.1", "192.0.2.01", "192.0.2", "192.0.2.1.", "192.0.2.256", "3221225985"),
        *("0x7f.1", "127.1", "192.0.2.1/32", "192.0.2.1:80", "[2001:db8::1]", "fe80::1%eth0", "2001:db8::1::"),
        *("2001:db8::g", "192.0.2.1\n", "192.0.2.1\0", "\udcff", "١٩٢.0.2.1", "::ffff:192.0.2.01", ":::"),
    ],
)
def test_odd_question_is_refused(text: str) -> None:
    """A question is one plain address: padding, ports, networks, zones and short forms are errors."""
    with pytest.raises(BadAddress, match="is not an IPv4 or IPv6 address"):
        parse_address(text)


def test_refusal_does_not_repeat_a_long_text() -> None:
    """Whatever a stranger sends, the message stays short."""
    with pytest.raises(BadAddress) as caught:
        parse_address("9" * 10_000)
    assert len(str(caught.value)) < 200


@given(VALUES4)
def test_ipv4_round_trip(value: int) -> None:
    """An IPv4 address is written dotted and reads back."""
    assert format_address(4, value) == str(ipaddress.IPv4Address(value))
    assert parse_address(format_address(4, value)) == (4, value)


@given(VALUES6)
def test_ipv6_round_trip(value: int) -> None:
    """An IPv6 address is written as RFC 5952 wants and reads back; a mapped one is an IPv4 address."""
    text = format_address(6, value)
    if is_mapped(value):
        assert parse_address(text) == (4, value & MAX4)
        return
    assert text == str(ipaddress.IPv6Address(value))
    assert parse_address(text) == (6, value)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"),
        ("2001:0db8::0001", "2001:db8::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("::192.0.2.1", "::c000:201"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:201", "192.0.2.1"),
    ],
)
def test_canonical_text(text: str, written: str) -> None:
    """The rules of RFC 5952 section 4, by example."""
    assert format_address(*parse_address(text)) == canonical(text) == written


# ── networks of a range ───────────────────────────────────────────────────────────────────────────────


@given(st.data(), st.sampled_from([4, 6]))
def test_networks_cover_exactly(data: st.DataObject, family: int) -> None:
    """The networks of a range are those of the standard library: ascending, no gap, nothing more."""
    values = VALUES4 if family == 4 else VALUES6.filter(lambda value: value > MAPPED + MAX4)
    first, last = sorted((data.draw(values), data.draw(values)))
    networks = [ipaddress.ip_network(text) for text in networks_of(family, first, last)]
    assert int(networks[0].network_address) == first
    assert int(networks[-1].broadcast_address) == last
    for before, after in itertools.pairwise(networks):
        assert int(before.broadcast_address) + 1 == int(after.network_address)
    build = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    assert networks == list(ipaddress.summarize_address_range(build(first), build(last)))


@pytest.mark.parametrize(
    ("family", "first", "last", "expected"),
    [
        (4, 0, MAX4, ["0.0.0.0/0"]),
        (6, 0, MAX6, ["::/0"]),
        (4, MAX4, MAX4, ["255.255.255.255/32"]),
        (6, MAX6, MAX6, ["ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"]),
        (4, 0xC0000201, 0xC0000203, ["192.0.2.1/32", "192.0.2.2/31"]),
    ],
)
def test_networks_at_the_edges(family: int, first: int, last: int, expected: list[str]) -> None:
    """The whole space, its last address and an odd start: nothing wraps round."""
    assert networks_of(family, first, last) == expected


# ── entries of a list ─────────────────────────────────────────────────────────────────────────────────


def entry(first: str, last: str | None = None, *, masked: bool = False) -> Entry:
    start, end = ipaddress.ip_address(first), ipaddress.ip_address(last or first)
    return Entry(start.version, int(start), int(end), masked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.1", entry("192.0.2.1")),
        ("  192.0.2.1\t", entry("192.0.2.1")),
        ("2001:DB8::1", entry("2001:db8::1")),
        ("192.0.2.0/24", entry("192.0.2.0", "192.0.2.255")),
        ("2001:db8::/32", entry("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("192.0.2.0/255.255.255.0", entry("192.0.2.0", "192.0.2.255")),
        ("192.0.2.4-192.0.2.9", entry("192.0.2.4", "192.0.2.9")),
        ("192.0.2.4 - 192.0.2.9", entry("192.0.2.4", "192.0.2.9")),
        ("2001:db8::1-2001:db8::f", entry("2001:db8::1", "2001:db8::f")),
        ("192.0.2.*", entry("192.0.2.0", "192.0.2.255")),
        ("198.51.*", entry("198.51.0.0", "198.51.255.255")),
        ("198.51.*.*", entry("198.51.0.0", "198.51.255.255")),
        ("192.0.2.1:8080", entry("192.0.2.1")),
        ("[2001:db8::1]:443", entry("2001:db8::1")),
        ("[2001:db8::1]", entry("2001:db8::1")),
        ("[2001:db8::]/32", entry("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff")),
        ("socks5://192.0.2.1:1080", entry("192.0.2.1")),
        ("http://192.0.2.1/a/b?c=d", entry("192.0.2.1")),
        ("https://user@[2001:db8::1]:8443/x", entry("2001:db8::1")),
    ],
)
def test_every_notation_is_read(text: str, expected: Entry) -> None:
    """Address, network, netmask, range, wildcard, port, brackets and URL, in both families (quirk 39)."""
    assert parse_entry(text) == expected


@pytest.mark.parametrize("text", ["038.555.256.497", "202.36.397.438", "192.0.2.256", "192.0.2.1-192.0.2.300", "300.*"])
def test_impossible_octet_is_refused(text: str) -> None:
    """Quirk 31: an octet beyond 255 is never clipped."""
    assert parse_entry(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("01:33:54", "1:1:e", "2014:Sep:12", "1.2.3", "1.2.3.4.5", "v1.2.3.4", "1.2.3.4-beta", "12:30", "abc:80"),
        *("Start", "dead", "example.org", "http://example.org/192.0.2.1", "a/24", "-", "*", "/", "::g", "[192.0.2.1"),
    ],
)
def test_look_alike_is_refused(text: str) -> None:
    """Quirk 32: times, versions, dates and words are no addresses; nothing is searched inside of words."""
    assert parse_entry(text) is None


@pytest.mark.parametrize(
    ("text", "plain"),
    [("150.164.082.010", "150.164.82.10"), ("192.000.002.001", "192.0.2.1"), ("010.008.009.000", "10.8.9.0")],
)
def test_padded_octets_are_decimal(text: str, plain: str) -> None:
    """Quirk 33: in a list 082 is 82 and 010 is 10; in a question it stays an error."""
    assert parse_entry(text) == entry(plain)
    with pytest.raises(BadAddress):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("192.0.2.76/24", entry("192.0.2.0", "192.0.2.255", masked=True)),
        ("203.0.113.128/25", entry("203.0.113.128", "203.0.113.255")),
        ("198.51.194.0/19", entry("198.51.192.0", "198.51.223.255", masked=True)),
        ("2001:db8::1/64", entry("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", masked=True)),
    ],
)
def test_host_bits_are_cleared_and_counted(text: str, expected: Entry) -> None:
    """Quirk 34: set host bits are masked away, and the entry says so."""
    assert parse_entry(text) == expected


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("255.255.255.255", MAX4),
        ("255.255.255.254-255.255.255.255", MAX4),
        ("240.0.0.0/4", MAX4),
        ("255.*", MAX4),
        ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", MAX6),
        ("ff00::/8", MAX6),
        ("::/0", MAX6),
    ],
)
def test_last_address_does_not_wrap(text: str, last: int) -> None:
    """Quirk 38: ranges may end at the last address there is."""
    parsed = parse_entry(text)
    assert parsed is not None
    assert parsed.last == last


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("::ffff:192.0.2.1", entry("192.0.2.1")),
        ("::ffff:c000:0201", entry("192.0.2.1")),
        ("[::ffff:192.0.2.1]:80", entry("192.0.2.1")),
        ("::ffff:192.0.2.0/120", entry("192.0.2.0", "192.0.2.255")),
        ("::ffff:192.0.2.4-::ffff:192.0.2.9", entry("192.0.2.4", "192.0.2.9")),
        ("::ffff:192.0.2.0/24", None),
        ("::ffff:0:0/95", None),
    ],
)
def test_mapped_addresses_are_ipv4(text: str, expected: Entry | None) -> None:
    """Quirk 40: ::ffff:a.b.c.d is a.b.c.d; its prefix length counts from 96."""
    assert parse_entry(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("192.0.2.9-192.0.2.4", "192.0.2.1-2001:db8::1", "192.0.2.0/33", "2001:db8::/129", "192.0.2.0/-1"),
        *("192.0.2.0/255.0.255.0", "192.0.2.0/0.0.0.255", "2001:db8::/255.255.0.0", "192.0.2.0/", "/24"),
        *("192.0.2.1:", "192.0.2.1:port", "192.0.2.1:123456", "[2001:db8::1]443", "1.*.3.*", "1.2.3.4.*", "*.1.2.3"),
        *("http://[2001:db8::1", "http://", "192.0.2.0/24/8", "192.0.2.1-", "-192.0.2.1", "192.0.2.0/٢٤"),
    ],
)
def test_broken_notation_is_refused(text: str) -> None:
    """Backwards ranges, mixed families, impossible lengths and masks, and halves of notations give nothing."""
    assert parse_entry(text) is None


@given(QUESTIONS.map(lambda text: text.replace("%", "")))
def test_entry_reads_every_question(text: str) -> None:
    """Whatever is a good question is also a good entry of one address; no text makes the reader fail."""
    parsed = parse_entry(text)
    try:
        address = parse_address(text)
    except BadAddress:
        return
    assert parsed == Entry(address.family, address.value, address.value)


@given(st.data(), st.sampled_from([4, 6]))
def test_network_is_read_like_the_standard_library(data: st.DataObject, family: int) -> None:
    """Any address and prefix length give the network that ``ipaddress`` gives with strict=False."""
    bits = 32 if family == 4 else 128
    value = data.draw(VALUES4 if family == 4 else VALUES6.filter(lambda value: not is_mapped(value)))
    length = data.draw(st.integers(0, bits))
    build = ipaddress.IPv4Network if family == 4 else ipaddress.IPv6Network
    network = build((value, length), strict=False)
    parsed = parse_entry(f"{format_address(family, value)}/{length}")
    first, last = int(network.network_address), int(network.broadcast_address)
    assert parsed == Entry(family, first, last, masked=first != value)
    assert parsed.size == network.num_addresses


@given(st.integers(0, 32))
def test_netmask_is_a_length(length: int) -> None:
    """Every contiguous mask is its length, the inverted one is none."""
    network = ipaddress.ip_network((0, length))
    assert netmask_length(str(network.netmask)) == length
    if 0 < length < 32:
        assert netmask_length(str(network.hostmask)) is None


@given(VALUES4, VALUES4)
def test_range_between_needs_its_order(start: int, end: int) -> None:
    """A range from a lower to a higher address is that range, the other way round it is none."""
    expected = Entry(4, start, end) if start <= end else None
    assert range_between(format_address(4, start), format_address(4, end)) == expected


# ── special-use space ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "10.255.255.255", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.31.255.255", "192.0.2.1"),
        *("192.168.0.1", "198.18.0.1", "203.0.113.255", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1"),
        *("2001:db8::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "ff02::1", "100::1", "3fff::1"),
    ],
)
def test_special_space(text: str) -> None:
    """No visitor comes from private, local, documentation, multicast or reserved space."""
    assert is_special(*parse_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0"),
        *("172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "192.169.0.0", "198.17.255.255"),
        *("198.20.0.0", "223.255.255.255", "2001:4860::1", "2606:4700::1", "fbff::1", "::2", "fec0::1"),
    ],
)
def test_public_space(text: str) -> None:
    """The neighbours of special space are not special."""
    assert not is_special(*parse_address(text))


def test_special_space_is_what_the_standard_library_knows() -> None:
    """Both ends of every network are no public address there either, apart from newer registrations."""
    newer = {"3fff::/20", "5f00::/16", "64:ff9b:1::/48", "192.0.0.0/24", "192.88.99.0/24"}
    for special in SPECIAL:
        (text,) = networks_of(special.family, special.first, special.last)
        for value in (special.first, special.last):
            end = ipaddress.ip_address(format_address(special.family, value))
            assert text in newer or not end.is_global or end.is_multicast, text


# ── IPv4 inside IPv6 ──────────────────────────────────────────────────────────────────────────────────


def test_nat64_teredo_and_6to4_give_the_address_inside() -> None:
    """Public addresses come out of the forms as the standards lay them out."""
    inside = {
        "64:ff9b::808:808": "8.8.8.8",
        "64:ff9b:1::909:909": "9.9.9.9",
        "2002:808:404::1": "8.8.4.4",
        "2002:808:404:ffff:ffff:ffff:ffff:ffff": "8.8.4.4",
        "2001:0:808:808:8000:63bf:f7f7:fbfb": "8.8.4.4",
    }
    for outer, inner in inside.items():
        value = embedded_ipv4(parse_address(outer).value)
        assert value is not None
        assert format_address(4, value) == inner, outer


def test_the_examples_of_the_standards_hold_documentation_space_and_so_nothing() -> None:
    """RFC 6052 section 2.4, RFC 4380 section 2.6 and friends: 192.0.2.0/24 inside is no visitor's address."""
    for text in ("64:ff9b::c000:221", "2002:c000:204::", "2001:0:4136:e378:8000:63bf:3fff:fdd2"):
        assert embedded_ipv4(parse_address(text).value) is None


@pytest.mark.parametrize("inner", ["10.0.0.1", "127.0.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.1", "0.0.0.1"])
def test_special_space_inside_is_none(inner: str) -> None:
    """A private, local or multicast IPv4 address inside any of the forms counts for nothing."""
    value = parse_address(inner).value
    forms = (0x64FF9B << 96 | value, 0x2002 << 112 | value << 80, 0x20010000 << 96 | value ^ MAX4)
    assert [embedded_ipv4(form) for form in forms] == [None] * 3


@given(st.integers(0, MAX4), st.integers(0, 2**64 - 1))
def test_embedding_is_what_the_standard_library_unpacks(inner: int, noise: int) -> None:
    """6to4 and Teredo agree with ``ipaddress``, whatever stands in the other bits."""
    expected = None if is_special(4, inner) else inner
    sixtofour = ipaddress.IPv6Address(0x2002 << 112 | inner << 80 | noise)
    assert sixtofour.sixtofour == ipaddress.IPv4Address(inner)
    assert embedded_ipv4(int(sixtofour)) == expected
    teredo = ipaddress.IPv6Address(0x20010000 << 96 | noise << 32 | inner ^ MAX4)
    assert teredo.teredo is not None
    assert teredo.teredo[1] == ipaddress.IPv4Address(inner)
    assert embedded_ipv4(int(teredo)) == expected


@pytest.mark.parametrize(
    "text",
    ["::808:808", "64:ff9b:0:1::808:808", "64:ff9b:1:1::808:808", "2001:1::808:808", "2003:808:404::", "2606:4700::1"],
)
def test_other_addresses_hold_nothing(text: str) -> None:
    """Neighbouring prefixes and forms that could be read in two ways give none."""
    assert embedded_ipv4(parse_address(text).value) is None


def test_translated_addresses_are_known_by_prefix() -> None:
    """Only the two prefixes of translators, not the tunnels."""
    found = [is_translated(parse_address(text).value) for text in ("64:ff9b::a00:1", "64:ff9b:1::1", "2002:a00:1::")]
    assert found == [True, True, False]
