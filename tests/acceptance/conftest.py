"""The corpus of real lists, refreshed once for all acceptance tests, and what the oracle says of it."""

from __future__ import annotations

import ipaddress
import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests import corpus
from tests.acceptance import oracle, program
from tests.acceptance.static_server import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUESTIONS = 200_000

LEVEL1 = "firehol-2021-12-22/firehol_level1.netset"
MIXED_TOR = "tor/tor-nodes.lst"
GOOGLE = ("cloud/gcp-cloud.json", "crawler/googlebot.json")

DERIVED: list[dict[str, Any]] = [
    {"id": "level1_without_bogons", "file": LEVEL1, "allow_wide": True, "exclude": ["bogons"], "category": "attacker"},
    {
        "id": "cloud_without_crawler",
        "file": GOOGLE[0],
        **corpus.PREFIXES,
        "exclude": [corpus.feed_id(GOOGLE[1])],
        "category": "hosting",
    },
    {"id": "tor_widened", "file": MIXED_TOR, "widen": 64, "category": "tor"},
    {
        "id": "ipsum_from_three",
        "file": "attack/ipsum.txt",
        "format": "csv",
        "delimiter": "\t",
        "columns": {"address": 1, "count": 2},
        "min_count": 3,
        "category": "attacker",
    },
]
"""Feeds that take something out of a list or put something around it; the oracle does the same in its own way."""


@dataclass(frozen=True)
class Corpus:
    """The refreshed data folder, its catalogue, the reports, and what the oracle says."""

    data: Path
    catalogue: Path
    report: dict[str, Any]
    ids: list[str]
    questions: list[str]
    expected: dict[str, tuple[str, ...]]


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    """Refresh the corpus from loopback while the oracle reads it from disk."""
    folder = tmp_path_factory.mktemp("corpus")
    data, catalogue = folder / "data", folder / "feeds.yaml"
    with serving(corpus.CORPUS) as server, ThreadPoolExecutor(1) as pool:
        extra = [
            corpus.LINES
            | {key: value for key, value in row.items() if key != "file"}
            | {"url": f"{server}/{row['file']}"}
            for row in DERIVED
        ]
        ids = corpus.write_catalogue(catalogue, server, extra)
        refreshed = pool.submit(program.refresh, data, catalogue)
        feeds = oracle_feeds()
        addresses = draw(feeds, random.Random(20261121))
        named = oracle.answer(list(feeds.values()), addresses)
        questions = [as_text(address) for address in addresses]
        answers = {
            question: tuple(ids[position] for position in named[address])
            for question, address in zip(questions, addresses, strict=True)
        }
        yield Corpus(data, catalogue, refreshed.result(), ids, questions, answers)


def oracle_feeds() -> dict[str, oracle.ListedFeed]:
    """What each feed lists according to the oracle, in the order of the catalogue."""
    feeds = {row["file"]: oracle.read_list(corpus.CORPUS, row["file"]) for row in corpus.manifest()}
    feeds |= oracle.expand_asns(corpus.CORPUS, list(oracle.ASN_RULES))
    feeds["level1_without_bogons"] = oracle.without(feeds[LEVEL1], oracle.special_space())
    feeds["cloud_without_crawler"] = oracle.without(feeds[GOOGLE[0]], feeds[GOOGLE[1]])
    feeds["tor_widened"] = oracle.widened(feeds[MIXED_TOR], 64)
    several = re.compile(r"^(\S+)\t(?:[3-9]|\d\d+)$", re.MULTILINE)
    feeds["ipsum_from_three"] = oracle.ListedFeed()
    for found in oracle.entries(several.findall(oracle.text_of(corpus.CORPUS / "attack/ipsum.txt"))):
        feeds["ipsum_from_three"].add(*found)
    return feeds


def draw(feeds: dict[str, oracle.ListedFeed], chance: random.Random) -> list[oracle.Address]:
    """So many addresses: half at, beside and inside the ranges of all lists, half anywhere."""
    top = {4: 2**32 - 1, 6: 2**128 - 1}
    drawn: list[oracle.Address] = [
        (family, value) for family in (4, 6) for value in (0, 1, top[family] - 1, top[family])
    ]
    listed = [feed for feed in feeds.values() if len(feed)]
    starts6 = [first for feed in listed for first, _ in feed.ranges6]
    while len(drawn) < QUESTIONS // 2:
        feed = chance.choice(listed)
        row = chance.randrange(len(feed))
        if row < len(feed.first4):
            family, first, last = 4, feed.first4[row], feed.last4[row]
        else:
            family, (first, last) = 6, feed.ranges6[row - len(feed.first4)]
        inside = chance.randint(first, last)
        value = chance.choice((first - 1, first, first + 1, inside, last - 1, last, last + 1))
        drawn.append((family, min(max(value, 0), top[family])))
    while len(drawn) < QUESTIONS:
        kind = chance.randrange(4)
        if kind == 0:  # beside what is listed, in the lower bits of IPv6
            drawn.append((6, chance.choice(starts6) ^ chance.getrandbits(chance.randint(1, 96))))
        elif kind == 1:
            drawn.append((6, chance.getrandbits(128)))
        else:
            drawn.append((4, chance.getrandbits(32)))
    chance.shuffle(drawn)
    return drawn


def as_text(address: oracle.Address) -> str:
    """An address as someone may write it: canonical, or in one of the long and mapped notations."""
    family, value = address
    if family == 4:
        text = str(ipaddress.IPv4Address(value))
        return f"::ffff:{text}" if value % 64 == 0 else text
    six = ipaddress.IPv6Address(value)
    if value >> 32 == 0xFFFF:  # is the IPv4 address below it; nothing is asked about it as IPv6
        return str(ipaddress.IPv6Address(value + 2**48))
    return six.exploded.upper() if value % 64 == 0 else str(six)
