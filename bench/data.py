"""Made-up lists of real size: the mixture of prefix lengths that is found in public lists, the same on every run."""

from __future__ import annotations

import ipaddress
import random
from dataclasses import dataclass

FEEDS = 40
IPV4_ENTRIES = 200_000
IPV6_ENTRIES = 20_000
QUESTIONS = 50_000
LARGE4, LARGE6 = 600_000, 60_000
"""Entries that make more than a million IPv4 segments."""

LENGTHS4 = {32: 80, 31: 1, 30: 1, 29: 1, 28: 1, 24: 8, 23: 2, 22: 3, 20: 2, 16: 1}
LENGTHS6 = {128: 30, 64: 40, 48: 20, 32: 10}
"""Prefix length → how often in a hundred."""

Network = tuple[int, int]
"""First address and prefix length."""


@dataclass(frozen=True)
class Lists:
    """feeds: texts of the networks of each feed. four, six: the distinct networks, the widest first."""

    feeds: dict[str, list[str]]
    four: list[Network]
    six: list[Network]


def text_of(family: int, network: Network) -> str:
    """As a list writes it: single addresses bare."""
    value, length = network
    address = ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value)
    return str(address) if length == address.max_prefixlen else f"{address}/{length}"


def make_lists(seed: int = 1, four_entries: int = IPV4_ENTRIES, six_entries: int = IPV6_ENTRIES) -> Lists:
    """Feeds that share many entries, as real ones do."""
    chance = random.Random(seed)
    four = _networks(chance, LENGTHS4, four_entries, 32, 0x01000000, 0xDF000000)
    six = _networks(chance, LENGTHS6, six_entries, 128, 0x2001 << 112, 0x2C00 << 112)
    feeds: dict[str, list[str]] = {f"feed_{number:02}": [] for number in range(FEEDS)}
    names = list(feeds)
    for family, networks in ((4, four), (6, six)):
        for network in networks:
            text = text_of(family, network)
            for name in chance.sample(names, chance.choice((1, 1, 1, 2, 3))):
                feeds[name].append(text)
    return Lists(feeds, four, six)


def _networks(
    chance: random.Random, lengths: dict[int, int], count: int, bits: int, low: int, high: int
) -> list[Network]:
    drawn = chance.choices(list(lengths), list(lengths.values()), k=count)
    found = {(chance.randrange(low, high) >> bits - length << bits - length, length) for length in drawn}
    return sorted(found, key=lambda network: (network[1], network[0]))


def questions(lists: Lists, family: int, seed: int = 2) -> list[str]:
    """Half of them listed, half anywhere in the same space."""
    chance = random.Random(seed)
    networks, bits = (lists.four, 32) if family == 4 else (lists.six, 128)
    values = []
    for number in range(QUESTIONS):
        value, length = chance.choice(networks)
        inside = value + chance.getrandbits(bits - length) if length < bits else value
        values.append(inside if number % 2 else inside ^ 1 << bits - chance.randrange(4, 20))
    chance.shuffle(values)
    return [text_of(family, (value, bits)) for value in values]
