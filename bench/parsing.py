"""How fast text becomes ranges: µs a line or record, made-up lists, and the real corpus where it is present."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from bench.data import Lists, questions
from bench.measure import Row, in_turns
from blocklistd.catalogue.feed import Feed
from blocklistd.collect.parse import parse_bodies, parse_feed
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

REAL = (
    "attack/ipsum.txt",
    "asn/asn-ipv4.csv.gz",
    "cloud/azure-ServiceTags_Public.json.gz",
    "cloud/hexydec-datacentres.csv.gz",
    "firehol-2021-12-22/stopforumspam_90d.ipset.gz",
)
URL = "https://example.org/list"


def rows(lists: Lists) -> Iterator[Row]:
    """Parsing in every format."""
    medians = in_turns(dict(_made_up(lists)), rounds=5)
    for name, seconds in medians.items():
        yield Row("parse", name, seconds * 1e6, "µs", note="a line")
    if corpus.CORPUS.is_dir():
        for name, seconds in in_turns(dict(_real()), rounds=3).items():
            yield Row("parse", name, seconds * 1e6, "µs", note="a line, real list")


def _made_up(lists: Lists) -> Iterator[tuple[str, Callable[[], int]]]:
    chance = random.Random(3)
    addresses = questions(lists, 4) * 4
    six = questions(lists, 6)
    spans = [f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}" for value, _ in lists.four[:200_000]]
    bodies: dict[str, tuple[Mapping[str, object], list[str]]] = {
        "lines, IPv4": ({}, addresses),
        "lines, IPv4 with comments": ({}, [f"{ip}\t# 2026-11-21 {chance.randrange(99)}" for ip in addresses]),
        "lines, IPv6": ({}, six),
        "csv, first and last, ASN table": (
            corpus.ASN_TABLE,
            [f"{span}.0,{span}.255,{64496 + number % 999},Org {number % 999}" for number, span in enumerate(spans)],
        ),
    }
    for name, (options, items) in bodies.items():
        body = "\n".join(items).encode()
        yield name, _parse(options, body, len(items))
    yield (
        "json, array of texts",
        _parse(
            {"format": "json", "paths": ["list"]},
            json.dumps({"list": addresses}).encode(),
            len(addresses),
        ),
    )
    yield "ndjson", _parse(corpus.DROP, "\n".join(f'{{"cidr":"{ip}"}}' for ip in addresses).encode(), len(addresses))


def _parse(options: Mapping[str, object], body: bytes, count: int) -> Callable[[], int]:
    row = corpus.LINES | {"id": "measured", "url": URL} | dict(options)
    feed = Feed.model_validate(row if "kind" in options else row | {"category": "attacker"})

    def work() -> int:
        parsed = parse_bodies(feed, [body])
        assert parsed.counts.entries == count, parsed.counts
        return count

    return work


def _real() -> Iterator[tuple[str, Callable[[], int]]]:
    for row in corpus.manifest():
        if row["file"] in REAL:
            feed = Feed.model_validate(corpus.entry_of(row, URL))
            path = corpus.CORPUS / row["file"]
            yield row["file"], lambda feed=feed, path=path: parse_feed(feed, [path]).counts.entries  # type: ignore[misc]
