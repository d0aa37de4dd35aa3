"""The numbers the gate judges by, beside a slow oracle that counts one by one."""

from __future__ import annotations

import random
from ipaddress import ip_address, ip_network

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd.addresses import parse_address
from blocklistd.collect.model import Counts, ParsedFeed
from blocklistd.index.entries import FeedEntries
from blocklistd.networks import no_networks
from blocklistd.refresh.canaries import read_canaries
from blocklistd.refresh.measure import Canary, measure, named, overlap
from tests.support import networks

# 100.63.255.128 to 100.64.0.127 is half public and half special-use, 2001:db7:ffff:ff00:: to 2001:db8:0:ff:: as well
FOUR = [f"100.{63 + n // 128}.{255 * (1 - n // 128)}.{(n + 128) % 256}" for n in range(256)]
SIX = [f"2001:db7:ffff:{n:x}::" for n in range(0xFF00, 0x10000)] + [f"2001:db8:0:{n:x}::" for n in range(256)]

lists4 = st.lists(
    st.tuples(st.sampled_from(FOUR), st.integers(26, 32)).map(
        lambda pair: str(ip_network("/".join(map(str, pair)), False))
    ),
    max_size=8,
    unique=True,
)
lists6 = st.lists(
    st.tuples(st.sampled_from(SIX), st.integers(58, 128)).map(lambda p: str(ip_network("/".join(map(str, p)), False))),
    max_size=8,
    unique=True,
)


def covered(texts: list[str], places: list[str]) -> set[str]:
    """Which of the places (addresses, or the first ones of /64s) the networks touch."""
    nets = [ip_network(text) for text in texts]
    if places is FOUR:
        return {place for place in places if any(ip_address(place) in net for net in nets)}
    return {place for place in places if any(ip_network(f"{place}/64").overlaps(net) for net in nets)}


@settings(max_examples=60)
@given(lists4, lists6)
def test_space_is_counted_as_one_by_one(four: list[str], six: list[str]) -> None:
    """Overlapping networks count once, IPv6 by /64, and special-use space can be left out."""
    parsed = ParsedFeed("made", Counts(unique=3, entries=4, rejected=5), v4=networks(4, four), v6=networks(6, six))
    version = measure(parsed)
    here, there = covered(four, FOUR), covered(six, SIX)
    assert (version.v4, version.v6) == (len(here), len(there))
    assert version.public4 == len([place for place in here if place.startswith("100.63.")])
    assert version.public6 == len([place for place in there if place.startswith("2001:db7:")])
    assert version.widest4 == max((ip_network(text).num_addresses for text in four), default=0)
    assert version.widest6 == max((max(1, ip_network(text).num_addresses >> 64) for text in six), default=0)
    assert (version.unique, version.lines, version.rejected) == (3, 4, 5)


@settings(max_examples=60)
@given(lists4, lists4)
def test_overlap_is_what_is_common_of_all(one: list[str], other: list[str]) -> None:
    """By space covered, not by entries."""
    here, there = covered(one, FOUR), covered(other, FOUR)
    expected = len(here & there) / len(here | there) if here | there else None
    found = overlap(FeedEntries(v4=networks(4, one)), FeedEntries(v4=networks(4, other)))
    assert found == expected


def test_overlap_of_names_mails_and_numbers() -> None:
    """One by one; of two families the one with more entries speaks for both."""
    assert overlap(FeedEntries(domains=("a.example", "b.example")), FeedEntries(domains=("b.example",))) == 0.5
    one, two, three = (bytes([n]) * 16 for n in (1, 2, 3))
    assert overlap(FeedEntries(mails=one + two), FeedEntries(mails=two + three)) == 1 / 3
    numbers = [FeedEntries(asns=np.array(asns, np.uint32)) for asns in ((64500, 64501), (64501,))]
    assert overlap(*numbers) == 0.5
    assert overlap(FeedEntries(), FeedEntries()) is None
    many = networks(6, ["2001:db8::1", "2001:db8:1::1"])
    mixed = FeedEntries(v4=networks(4, ["192.0.2.1"]), v6=many), FeedEntries(v4=networks(4, ["192.0.2.2"]), v6=many)
    assert overlap(*mixed) == 1.0


def test_the_ends_of_the_space_are_covered() -> None:
    """All-ones and halves of everything are measured without wrapping round."""
    whole = ParsedFeed(
        "made",
        Counts(),
        v4=networks(4, ["0.0.0.0/1", "255.255.255.255"]),
        v6=networks(6, ["::/1", "8000::/1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    )
    version = measure(whole)
    assert version.v4 == 2**31 + 1
    assert 2**64 - 2**11 <= version.v6 <= 2**64
    assert version.widest6 in {2**63, 2**63 - 1}
    assert measure(ParsedFeed("made", Counts())).v6 == 0


def test_canaries_are_found_wherever_they_are_covered() -> None:
    """By themselves, inside of a network, at its edges; and nowhere else."""
    canaries = [Canary(*parse_address(text), text) for text in ("192.0.2.10", "2001:db8::53")]
    for four, expected in (
        (["192.0.2.10"], True),
        (["192.0.2.0/24", "192.0.2.200"], True),
        (["192.0.2.0-192.0.2.9", "192.0.2.11-192.0.2.20"], False),
        (["192.0.2.10-192.0.2.20"], True),
        (["192.0.2.1-192.0.2.10"], True),
        ([], False),
    ):
        assert (named(canaries, networks(4, four), no_networks(6)) == ["192.0.2.10"]) == expected, four
    assert named(canaries, no_networks(4), networks(6, ["2001:db8::/32"])) == ["2001:db8::53"]
    for six in (["2001:db8:0:1::/64"], ["2001:db8::54", "2001:db8::52"], ["2001:db7::-2001:db8::52"]):
        assert named(canaries, no_networks(4), networks(6, six)) == []
    assert named(canaries, no_networks(4), networks(6, ["2001:db7::-2001:db8:1::"])) == ["2001:db8::53"]


def test_the_canaries_of_this_host_are_sound() -> None:
    """Each says what it is, none stands twice, and none is of special-use space."""
    canaries = list(read_canaries())
    random.shuffle(canaries)
    assert len({canary[:2] for canary in canaries}) == len(canaries) >= 16
    assert all(canary.words for canary in canaries)
