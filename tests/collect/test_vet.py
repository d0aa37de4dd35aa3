"""Vetting: which versions of a feed are refused or doubted, and with which words."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from blocklistd.collect.gate import doubt
from blocklistd.collect.model import Accepted, Counts, ParsedFeed, Quarantined, Refused, Reject
from blocklistd.collect.past import Past, Version, decode_past, encode_past, remember
from blocklistd.collect.vet import CHECKS, vet
from tests.collect.feeds import make_feed


def parsed(opening: str = "192.0.2.1 192.0.2.2", **fields: Any) -> ParsedFeed:
    counts = Counts(
        **{name: fields.pop(name) for name in [*fields] if name in {f.name for f in dataclasses.fields(Counts)}}
    )
    return ParsedFeed(feed_id="example", counts=counts, opening=opening, size=len(opening), **fields)


def test_a_list_of_entries_passes() -> None:
    """Entries and no refusals are accepted, with or without a past."""
    assert vet(make_feed(), parsed(entries=10)) == Accepted()
    assert vet(make_feed(), parsed(entries=10), version(unique=10), Past()) == Accepted()
    assert vet(make_feed(), parsed(entries=10), version(unique=10), Past((version(unique=9),))) == Accepted()


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
        assert check(make_feed(), parsed(entries=10)) is None


def test_what_is_no_list_is_refused_and_not_doubted() -> None:
    """A gate that would object as well is not asked."""
    past = Past((version(unique=1000),))
    assert isinstance(vet(make_feed(), parsed("<html>"), version(), past), Refused)
    doubted = vet(make_feed(), parsed(entries=10), version(unique=10), past)
    assert doubted == Quarantined("shrink", "has lost 99 % of 1,000 entries, up to 40 % is believed")


# ── the gate: each case is a past and a version after it ──────────────────────────────────────────


def version(**columns: float) -> Version:
    """Numbers of a version: by default of single IPv4 addresses."""
    unique = columns.get("unique", 0)
    usual = {"lines": unique, "v4": unique, "public4": unique, "widest4": 1}
    return Version(**dict.fromkeys(Version._fields, 0) | usual | columns)  # type: ignore[arg-type]


def objection(now: Version, *before: Version, overlap: float | None = None, **options: Any) -> str:
    """Name of the check that objects, empty where none does."""
    elapsed = options.pop("elapsed", 3600.0)
    canaries = options.pop("canaries", ())
    found = doubt(make_feed(**options), now, Past(before, overlap, elapsed, canaries))
    return "" if found is None else found[0]


def sizes(*numbers: int) -> list[Version]:
    return [version(unique=number) for number in numbers]


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        (610, [1000], ""),
        (590, [1000], "shrink"),
        (500, [1000], "shrink"),
        (0, [31], "shrink"),
        (0, [30], ""),  # few entries come and go
        (50, [75], ""),
        (1000, [1000, 1000, 1000, 2900], ""),  # back from a peak to what is usual
        (640, [1000, 1000, 1000, 700], ""),
        (350, [1000, 1000, 1000, 700, 500], "shrink"),  # bit by bit
        (2990, [1000], ""),
        (3010, [1000], "growth"),
        (10_000, [1000], "growth"),
        (30, [1], ""),
        (32, [1], "growth"),
        (1000, [1000, 1000, 1000, 300], ""),  # back from a dip
        (2000, [1000, 1000, 1000, 500], ""),
        (9100, [1000, 1000, 1000, 2500, 4000], "growth"),  # bit by bit
    ],
)
def test_bands_of_entries(now: int, before: list[int], expected: str) -> None:
    """Forty percent may go, three times as many may come; small numbers are let be, and so is a return to the usual."""
    assert objection(*sizes(now), *sizes(*before)) == expected


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"unique": 500, "v4": 9990}, {"unique": 1000, "v4": 10_000}, ""),  # the same space in fewer networks
        ({"unique": 500, "v4": 9000}, {"unique": 1000, "v4": 10_000}, "shrink"),
        ({"unique": 500, "v4": 0, "v6": 10}, {"unique": 1000, "v4": 0, "v6": 900}, "shrink"),
        ({"unique": 9000, "v4": 10_000}, {"unique": 1000, "v4": 10_000}, ""),  # the same space, address by address
        ({"unique": 1001, "v4": 40_000}, {"unique": 1000, "v4": 10_000}, "growth"),
        ({"unique": 1001, "v4": 10, "v6": 9000}, {"unique": 1000, "v4": 10, "v6": 1000}, "growth"),
        ({"unique": 1001, "v6": 9000}, {"unique": 1000, "v6": 0}, ""),  # a family that was not there is none of it
        ({"unique": 12, "v4": 10_000}, {"unique": 10, "v4": 2560}, ""),  # a few entries as wide as the others
        ({"unique": 500, "v4": 0}, {"unique": 1000, "v4": 0}, "shrink"),  # names cover nothing
    ],
)
def test_bands_of_space(now: dict[str, int], before: dict[str, int], expected: str) -> None:
    """Other networks for the same addresses are no news; more addresses in as many networks are."""
    wide = {"widest4": 2**16}
    assert objection(version(**now, **wide), version(**before, **wide)) == expected


@pytest.mark.parametrize(
    ("now", "before", "expected"),
    [
        ({"widest4": 2**16}, {"widest4": 1}, ""),
        ({"widest4": 2**17}, {"widest4": 1}, "widest"),
        ({"widest4": 2**20}, {"widest4": 2**12}, ""),
        ({"widest4": 2**20}, {"widest4": 2**11}, "widest"),
        ({"widest4": 2**20}, {"widest4": 0}, ""),
        ({"widest6": 2**24}, {"widest6": 1}, ""),
        ({"widest6": 2**25}, {"widest6": 1}, "widest"),
        ({"wide": 1}, {}, "wide"),
        ({"wide": 1}, {"wide": 1}, ""),
        ({"rejected": 100}, {}, ""),
        ({"rejected": 130}, {}, "rejects"),
        ({"rejected": 130}, {"rejected": 100}, ""),
        ({"rejected": 1000}, {"rejected": 900}, ""),
    ],
)
def test_width_and_rejects(now: dict[str, int], before: dict[str, int], expected: str) -> None:
    """Entries and refused lines of a kind that a list never had before."""
    assert objection(version(unique=1000, **now), version(unique=1000, **before)) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"overlap": 0.019}, "overlap"),
        ({"overlap": 0.021}, ""),
        ({"overlap": 0.0, "elapsed": 8 * 86400.0}, ""),  # too long ago
        ({"overlap": 0.0, "gate": {"overlap": "0%"}}, ""),
        ({"overlap": 0.3, "gate": {"overlap": "50%"}}, "overlap"),
        ({"canaries": ("8.8.8.8",)}, "canaries"),
        ({"canaries": ("8.8.8.8",), "category": "hosting"}, ""),
        ({"canaries": ("8.8.8.8",), "gate": {"canaries": False}}, ""),
        ({"canaries": ("8.8.8.8",), "gate": "none"}, ""),
    ],
)
def test_company_and_canaries(options: dict[str, Any], expected: str) -> None:
    """What is common with the version before, and what no list of risk should name."""
    assert objection(*sizes(200, 200), **options) == expected
    assert objection(*sizes(99, 99), **options) == expected.replace("overlap", "")


@pytest.mark.parametrize(
    ("category", "share", "expected"),
    [
        ("vpn", 0.049, ""),
        ("vpn", 0.051, "space"),
        ("hosting", 0.24, ""),
        ("hosting", 0.26, "space"),
        ("bogon", 0.9, ""),
    ],
)
def test_share_of_the_address_space(category: str, share: float, expected: str) -> None:
    """Of lists that accuse a twentieth is believed, of those that describe a quarter, of bogons anything."""
    assert objection(version(public4=int(share * 2**32)), category=category) == expected
    assert objection(version(public6=int(share * 2**61)), category=category) == expected
    assert objection(version(public4=int(share * 2**32)), category=category, gate={"space": "100%"}) == ""


def test_a_list_that_may_be_empty_may_shrink() -> None:
    """Nobody banned today; but it may not swell."""
    assert objection(*sizes(0, 1000), allow_empty=True) == ""
    assert objection(*sizes(9000, 1000), allow_empty=True) == "growth"


def test_without_a_past_nothing_is_compared() -> None:
    """Whatever the first version looks like, only what needs no past can object."""
    assert objection(version(unique=7, rejected=100, wide=5, widest4=2**24, v4=2**24, public4=2**24)) == ""


def test_a_feed_of_its_own_bands() -> None:
    """Each band is the feed's own word."""
    gate = {"shrink": "90%", "growth": "1000%", "rejects": "50%"}
    assert objection(version(unique=110, rejected=80), version(unique=1000), gate=gate) == ""
    assert objection(version(unique=10_900), version(unique=1000), gate=gate) == ""
    assert objection(version(unique=11_100), version(unique=1000), gate=gate) == "growth"
    assert objection(version(unique=90), version(unique=1000), gate=gate) == "shrink"


def test_the_past_is_bounded() -> None:
    """The newest versions are remembered."""
    past: tuple[Version, ...] = ()
    for number in range(40):
        past = remember(past, version(unique=number))
    assert [entry.unique for entry in past] == list(range(10, 40))
    assert decode_past(encode_past(past)) == past
