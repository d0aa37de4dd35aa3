"""Vetting: which versions of a feed are refused, and with which words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from blocklistd.collect.model import Accepted, Counts, ParsedFeed, Refused, Reject
from blocklistd.collect.vet import CHECKS, vet
from tests.collect.feeds import make_feed


def parsed(opening: str = "192.0.2.1 192.0.2.2", **fields: Any) -> ParsedFeed:
    counts = Counts(
        **{name: fields.pop(name) for name in [*fields] if name in {f.name for f in dataclasses.fields(Counts)}}
    )
    return ParsedFeed(feed_id="example", counts=counts, opening=opening, size=len(opening), **fields)


def test_a_list_of_entries_passes() -> None:
    """Entries and no refusals are accepted, with or without an earlier version."""
    assert vet(make_feed(), parsed(entries=10)) == Accepted()
    assert vet(make_feed(), parsed(entries=10), Counts(entries=9, unique=9)) == Accepted()


@pytest.mark.parametrize(
    ("version", "options", "reason"),
    [
        (parsed("<!DOCTYPE html>", entries=10), {}, "HTML instead of a list"),
        (parsed("  <html>", entries=10), {}, "HTML instead of a list"),
        (parsed("Please wait", rejected=3), {}, "prose instead of a list"),
        (parsed("Please wait", rejected=3), {"allow_empty": True}, "prose instead of a list"),
        (parsed("0.0.0.0/0", rejected=2, wide=2), {}, "all 2 entries are too wide"),
        (parsed(""), {}, "empty: no bytes at all"),
        (parsed("# nothing today"), {}, "empty"),
        (parsed(below_minimum=7), {}, "empty: all 7 entries are below min_count"),
        (parsed(entries=1500, declared=1699), {}, "truncated: says 1,699 records, holds 1,500"),
        (parsed(entries=1700, declared=1699), {}, "truncated: says 1,699 records, holds 1,700"),
        (parsed(entries=10, rejected=11), {}, "mostly unparseable: 11 of 21 lines are no entry"),
    ],
)  # fmt: skip
def test_a_version_that_is_no_list_is_refused(version: ParsedFeed, options: dict[str, Any], reason: str) -> None:
    """Each way of not being a list has its own reason."""
    verdict = vet(make_feed(**options), version)
    assert isinstance(verdict, Refused)
    assert verdict.reason == reason


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (parsed("<html>", entries=5), {"format": "regex", "pattern": "(?P<address>x)"}),
        (parsed("# nothing today"), {"allow_empty": True}),
        (parsed(below_minimum=7), {"allow_empty": True}),
        (parsed(entries=1000, rejected=600, below_minimum=99, declared=1699), {}),
        (parsed(entries=0, declared=0), {"allow_empty": True}),
        (parsed(entries=10, rejected=10), {}),
        (parsed(entries=1, rejected=5), {}),
    ],
)
def test_odd_but_sound_versions_pass(version: ParsedFeed, options: dict[str, Any]) -> None:
    """Markup for a scraper, a rightly empty list, refused records that were there, a short list under some prose."""
    assert vet(make_feed(**options), version) == Accepted()


def test_the_operator_reads_the_start_of_the_body() -> None:
    """The detail of a refusal quotes the body, or the first refused line where there are entries as well."""
    prose = vet(make_feed(), parsed("Umm... You can only fetch", rejected=3))
    assert prose == Refused("prose instead of a list", "Umm... You can only fetch")
    mixed = vet(make_feed(), parsed(entries=1, rejected=6, rejects=(Reject(3, "Too many", "is no address"),)))
    assert isinstance(mixed, Refused)
    assert mixed.detail == "line 3: Too many"


def test_every_check_stays_silent_on_a_sound_list() -> None:
    """The table holds functions of one signature, and none objects to a plain list."""
    for check in CHECKS.values():
        assert check(make_feed(), parsed(entries=10), None) is None
