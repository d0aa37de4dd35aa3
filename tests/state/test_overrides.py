"""Entries: their keys, their table, and which one wins."""

from __future__ import annotations

import socket
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.errors import StorageFailed, UsageError
from blocklistd.reputation.overrides import Overrides
from blocklistd.state.audit import Actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.overrides import (
    MOST,
    Override,
    find_override,
    make_override,
    parse_expiry,
    parse_key,
    put_override,
    read_overrides,
    remove_override,
)

if TYPE_CHECKING:
    from pathlib import Path

ALICE = Actor("alice", "command line")
NOW = 1_800_000_000.0
DAY = 86400.0
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "10.1.2.4/31", "2001:db8::/32", "2001:db8::1"]
OTHERS = ["AS64500", "AS64501", "DE", "FR", "feed:alpha", "feed:beta"]


def entry(key: str, action: str = "deny", expires: str | None = None, now: float = NOW) -> Override:
    return make_override(key, action, "test", None, expires, actor=ALICE, now=now)


# keys


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        *(("192.0.2.7", "192.0.2.7"), ("192.0.2.7/32", "192.0.2.7"), ("192.0.2.0/24", "192.0.2.0/24")),
        *(("10.0.0.0/8", "10.0.0.0/8"), ("2001:DB8::/32", "2001:db8::/32"), ("2001:db8:0::1/128", "2001:db8::1")),
        *(("::ffff:192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.0/120", "192.0.2.0/24"), ("2001::/16", "2001::/16")),
        *(("AS64500", "AS64500"), ("as064500", "AS64500"), ("AS4294967295", "AS4294967295")),
        *(("DE", "DE"), ("de", "DE"), ("AS", "AS"), ("feed:tor_bulk_exit", "feed:tor_bulk_exit")),
    ],
)
def test_a_key_has_one_form(text: str, canonical: str) -> None:
    """However a key is written, it is kept in the one canonical form, which reads as itself."""
    assert parse_key(text).text == canonical
    assert parse_key(canonical) == parse_key(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("192.0.2.7/24", "write 192.0.2.0/24 for the network or 192.0.2.7 for the address"),
        ("2001:db8::7/64", "write 2001:db8::/64 for the network or 2001:db8::7 for the address"),
        *(("0.0.0.0/0", "wider"), ("8.0.0.0/7", "wider"), ("2000::/3", "wider"), ("::ffff:0.0.0.0/96", "wider")),
        *(("192.0.2.0/33", "no network"), ("192.0.2.0/", "no network"), ("192.0.2.0/-1", "no network")),
        *(("192.0.2.0/255.255.255.0", "no network"), ("192.0.2.0/٢٤", "no network"), ("::ffff:0:0/95", "no network")),
        *(("", "no key"), ("192.0.2", "no key"), ("192.0.2.01", "no key"), (" 192.0.2.1", "no key")),
        *(("192.0.2.1\n", "no key"), ("DEU", "no key"), ("D", "no key"), ("ÄÖ", "no key"), ("feed:", "no key")),
        *(("feed:Tor", "no key"), ("feed:a/b", "no key"), ("AS ", "no key"), ("AS-1", "no key"), ("ASx", "no key")),
        *(("AS0", "no ASN"), ("AS4294967296", "no ASN"), ("UK", "GB"), ("x" * 10_000, "no key")),
    ],
)
def test_what_is_no_key_is_refused_with_what_to_write(text: str, words: str) -> None:
    """Nothing is guessed; host bits are refused with both spellings that could have been meant."""
    with pytest.raises(UsageError) as caught:
        parse_key(text)
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.integers(0, 2**32 - 1), st.integers(8, 32))
def test_networks_are_read_as_the_standard_library_reads_them(value: int, length: int) -> None:
    """Every IPv4 network without host bits is a key, with its first address and length."""
    network = ip_network((value, length), strict=False)
    key = parse_key(str(network))
    assert (key.family, key.first, key.length) == (4, int(network.network_address), length)


# entries


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("7d", 7 * DAY), ("2027-01-16T08:00:00Z", DAY), ("2027-01-16T10:00:00+02:00", DAY)],
)
def test_an_end_is_a_duration_or_a_moment(text: str, seconds: float) -> None:
    """Durations count from now; moments are ISO 8601."""
    assert parse_expiry(text, NOW) == NOW + seconds
    assert parse_expiry("2027-01-16T08:00:00", NOW) == NOW + DAY  # UTC where it has no zone
    assert parse_expiry(None, NOW) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        *(({"action": "block"}, "allow or deny"), ({"action": None}, "allow or deny"), ({"action": ["deny"]}, "allow")),
        *(({"reason": None}, "reason is missing"), ({"reason": "  "}, "missing"), ({"reason": 5}, "missing")),
        *(({"reason": "a\nb"}, "one line"), ({"reason": "\x1b[2J"}, "one line"), ({"reason": "x" * 501}, "500")),
        *(({"author": ""}, "author is missing"), ({"author": "x" * 101}, "100")),
        *(({"expires": "tomorrow"}, "neither a duration"), ({"expires": 5}, "neither"), ({"expires": ""}, "neither")),
        *(({"expires": "2001-01-01"}, "past"), ({"expires": "0s"}, "past"), ({"expires": "999999999w"}, "hundred")),
        ({"key": "feed:alpha", "action": "deny"}, "its action is allow"),
    ],
)
def test_what_is_no_entry_is_refused(fields: dict[str, object], words: str) -> None:
    """Each mistake is a sentence."""
    given_fields = {"key": "192.0.2.1", "action": "deny", "reason": "test", "author": None, "expires": None, **fields}
    key = str(given_fields.pop("key"))
    with pytest.raises(UsageError, match=words):
        make_override(key, *given_fields.values(), actor=ALICE, now=NOW)


@given(
    st.text(max_size=30) | st.sampled_from(NETWORKS + OTHERS),
    *[st.none() | st.floats() | st.text(max_size=5) | st.lists(st.booleans()) | st.sampled_from(["deny", "7d"])] * 4,
)
def test_anything_is_an_entry_or_refused(key: str, action: object, reason: object, author: object, end: object) -> None:
    """Whatever JSON brings, there is no third end; an entry has one line of reason and is in force."""
    try:
        made = make_override(key, action, reason, author, end, actor=ALICE, now=NOW)
    except UsageError:
        return
    assert made.action in {"allow", "deny"}
    assert made.reason.isprintable()
    assert made.in_force(NOW)


def test_one_entry_a_key(tmp_path: Path) -> None:
    """A second entry takes the place of the first, however its key is written; both acts are in the audit table."""
    with Database.open(tmp_path) as database:
        assert put_override(database, entry("192.0.2.7"), ALICE) is None
        second = entry("192.0.2.7/32", "allow", "1d")
        assert put_override(database, second, Actor("bob", "http, 192.0.2.9")) == entry("192.0.2.7")
        assert read_overrides(database, NOW) == [second]
        assert remove_override(database, "::ffff:192.0.2.7", ALICE, NOW) == second
        assert remove_override(database, "192.0.2.7", ALICE, NOW) is None
        acts = [(act.actor, act.origin, act.action, act.subject) for act in read_acts(database, 10)]
    assert acts == [
        ("alice", "command line", "override.remove", "192.0.2.7"),
        ("bob", "http, 192.0.2.9", "override.put", "192.0.2.7"),
        ("alice", "command line", "override.put", "192.0.2.7"),
    ]


def test_an_entry_that_has_ended_is_none(tmp_path: Path) -> None:
    """It is neither shown nor found nor removed, and is swept out with the next write."""
    with Database.open(tmp_path) as database:
        put_override(database, entry("192.0.2.7", expires="1d"), ALICE)
        assert find_override(database, "192.0.2.7", NOW + DAY - 1) is not None
        assert find_override(database, "192.0.2.7", NOW + DAY) is None
        assert read_overrides(database, NOW + DAY) == []
        assert remove_override(database, "192.0.2.7", ALICE, NOW + DAY) is None
        assert put_override(database, entry("192.0.2.8", now=NOW + DAY), ALICE) is None
        assert database.rows("SELECT key FROM overrides") == [("192.0.2.8",)]


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    """The table is bounded; an entry of a key that is there may still be changed."""
    with Database.open(tmp_path) as database:
        with database.writing() as connection:
            rows = ((f"AS{number}", "deny", "x", "x", NOW) for number in range(1, MOST + 1))
            connection.executemany(
                "INSERT INTO overrides (key, action, reason, author, created) VALUES (?, ?, ?, ?, ?)", rows
            )
        with pytest.raises(UsageError, match="a list of their own"):
            put_override(database, entry("192.0.2.7"), ALICE)
        assert put_override(database, entry("AS1", "allow"), ALICE) is not None


# which one wins

ENTRIES = st.dictionaries(
    st.sampled_from(NETWORKS + OTHERS),
    st.tuples(st.sampled_from(["allow", "deny"]), st.sampled_from([None, "1s", "5s", "9s"])),
)
ADDRESSES = ["10.1.2.3", "10.1.2.4", "10.1.2.5", "10.1.9.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "2001:db8::2"]


def slow_find(entries: list[Override], ip: str, asn: int | None, country: str | None, now: float) -> Override | None:
    """Every rule word for word: drop what has ended, then the longest network, then the ASN, then the country."""
    alive = {override.key: override for override in entries if override.expires is None or override.expires > now}
    networks = [ip_network(key) for key in alive if key in NETWORKS]
    holding = [network for network in networks if ip_address(ip) in network]
    if holding:
        longest = max(holding, key=lambda network: network.prefixlen)
        return next(override for key, override in alive.items() if key in {str(longest), str(longest.network_address)})
    return alive.get(f"AS{asn}") or alive.get(str(country))


@given(
    ENTRIES,
    st.lists(
        st.tuples(
            st.sampled_from(ADDRESSES),
            st.sampled_from([None, 64500, 64501, 64502]),
            st.sampled_from([None, "DE", "FR", "IT"]),
            st.integers(0, 3),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_the_most_exact_entry_in_force_wins(
    drawn: dict[str, tuple[str, str | None]], asked: list[tuple[str, int | None, str | None, int]]
) -> None:
    """Asked again and again while entries run out, memory gives what reading all of them word for word gives."""
    clock = [NOW]
    entries = [entry(key, "allow" if "feed" in key else action, expires) for key, (action, expires) in drawn.items()]
    overrides = Overrides(entries, clock=lambda: clock[0])
    for ip, asn, country, later in asked:
        clock[0] += later
        family = 6 if ":" in ip else 4
        value = int.from_bytes(socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, ip))
        assert overrides.find(family, value, asn, country) == slow_find(entries, ip, asn, country, clock[0])
        alive = {override.key for override in entries if override.in_force(clock[0])}
        assert overrides.without == {key.removeprefix("feed:") for key in alive if key.startswith("feed:")}
        assert len(overrides) == len(alive)


def test_an_entry_nobody_can_read_is_no_silence() -> None:
    """A row that was written past the program fails the loading instead of counting for nothing."""
    with pytest.raises(StorageFailed, match="an entry that is none"):
        Overrides([Override("192.0.2.7/24", "deny", "x", "x", NOW)])
