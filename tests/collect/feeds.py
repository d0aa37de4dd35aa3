"""Feeds and short views of what they parse to, for the tests of this folder."""

from __future__ import annotations

from typing import Any

from blocklistd.addresses import networks_of
from blocklistd.catalogue.feed import Feed
from blocklistd.collect.model import Networks, ParsedFeed
from blocklistd.collect.parse import parse_bodies


def make_feed(**options: Any) -> Feed:
    """A feed with the given options, by default one of plain lines of addresses."""
    table = options.get("kind") in {"asn_table", "country_table"}
    base: dict[str, Any] = {"id": "example", "urls": ["https://example.org/list"], "format": "lines"}
    return Feed.model_validate(base | ({} if table else {"category": "attacker"}) | options)


def parse(body: bytes | str, **options: Any) -> ParsedFeed:
    """Parse one unpacked body."""
    return parse_bodies(make_feed(**options), [body.encode() if isinstance(body, str) else body])


def cidrs(networks: Networks) -> list[str]:
    """The entries as CIDR networks, in their order."""
    shown: list[str] = []
    for first, last in zip(networks.first.tolist(), networks.last.tolist(), strict=True):
        if networks.family == 6:
            shown += networks_of(6, first[0] << 64 | first[1], last[0] << 64 | last[1])
        else:
            shown += networks_of(4, first, last)
    return shown
