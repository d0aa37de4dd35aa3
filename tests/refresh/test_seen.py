"""First and last seen after whole passes: names of domain and mail lists, times that lists give themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklistd import Snapshot
from blocklistd.index.seen import ON_LIST, Sighted
from tests.refresh.world import HOUR, NOON, TimedWorld

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def world(tmp_path: Path) -> TimedWorld:
    return TimedWorld(tmp_path)


def at(number: int) -> int:
    """The time of the pass of that number, from 1."""
    return NOON + number * HOUR


def test_domains_and_mail_addresses_have_their_times(world: TimedWorld) -> None:
    """Kept and current ones are told apart, wildcards name what is below them, and what is gone is not there."""
    names = {"kind": "domain", "category": "disposable", "keep": "90m"}
    mails = {"kind": "email", "category": "spam", "keep": "90m"}
    world.feed("names", "stays.example\n*.wild.example\nleaves.example\n", **names)
    world.feed("mails", "stays@example.org\nleaves@example.org\n", **mails)
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        assert [record.seen for record in snapshot.feeds] == [None, None], "all came at once"
        assert snapshot.name_seen("names", "a.wild.example") == Sighted(at(1), ON_LIST, True)
        assert snapshot.name_seen("mails", "Stays@example.org") == Sighted(at(1), ON_LIST, True)
        assert snapshot.name_seen("names", "unknown.example") is None
    world.feed("names", "stays.example\n*.wild.example\ncomes.example\n", **names)
    world.feed("mails", "stays@example.org\n", **mails)
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        assert snapshot.domain("leaves.example").feeds == ("names",)
        assert snapshot.mail("leaves@example.org").feeds == ("mails",)
        assert snapshot.name_seen("names", "leaves.example") == Sighted(at(1), at(1), False)
        assert snapshot.name_seen("mails", "leaves@example.org") == Sighted(at(1), at(1), False)
        assert snapshot.name_seen("names", "comes.example") == Sighted(at(2), ON_LIST, True)
        assert snapshot.name_seen("names", "a.wild.example") == Sighted(at(1), ON_LIST, True)
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        assert not snapshot.domain("leaves.example").listed
        assert not snapshot.mail("leaves@example.org").listed
        assert snapshot.name_seen("names", "leaves.example") is None
        assert snapshot.name_seen("names", "comes.example") == Sighted(at(2), ON_LIST, True)


def test_times_that_a_list_gives_win(world: TimedWorld) -> None:
    """Its own columns are shown, of the first version too; none of them is later than the fetch."""
    table = {"format": "csv", "columns": "{address: 1, first_seen: 2, last_seen: 3}"}
    given = "192.0.2.1,2025-11-01T00:00:00Z,2025-11-30T00:00:00Z\n192.0.2.2,2099-01-01T00:00:00Z,\n"
    world.feed("table", given, **table)
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        (one,), (two,) = snapshot.sightings("192.0.2.1"), snapshot.sightings("192.0.2.2")
    assert (one.first_seen, one.last_seen, one.current) == (1_761_955_200, 1_764_460_800, True)
    assert two.first_seen == at(1)


def test_nothing_is_published_while_nothing_changes(world: TimedWorld) -> None:
    """Time alone makes no new snapshot, whatever kinds of feeds there are."""
    world.feed("plain", "192.0.2.1\n")
    world.feed("kept", "192.0.2.1\n", keep="30d")
    world.feed("names", "one.example\n", kind="domain", category="disposable")
    world.feed(
        "table",
        "192.0.2.0,192.0.2.255,64500,Example\n",
        kind="asn_table",
        category=None,
        format="csv",
        columns="{first: 1, last: 2, asn: 3, name: 4}",
    )
    assert world.refresh().published
    assert not world.refresh().published
    world.feed("kept", "192.0.2.2\n", keep="30d")
    assert world.refresh().published
    assert not world.refresh().published


def test_damaged_entries_hold_up_no_later_version(world: TimedWorld) -> None:
    """What lists of names named before is also told by the sections that answer: the next versions carry it on."""
    names = {"kind": "domain", "category": "disposable", "keep": "1d"}
    mails = {"kind": "email", "category": "spam", "keep": "1d"}
    world.feed("names", "stays.example\n*.leaves.example\n", **names)
    world.feed("mails", "stays@example.org\n", **mails)
    world.refresh()
    for entries in (world.data / "sections").glob("entries-*"):
        entries.chmod(0o644)
        entries.write_bytes(entries.read_bytes()[:-1] + b"!")
    world.feed("names", "stays.example\ncomes.example\n", **names)
    world.feed("mails", "comes@example.org\n", **mails)
    assert world.refresh().published
    with Snapshot.open_current(world.data) as snapshot:
        assert snapshot.name_seen("names", "stays.example") == Sighted(at(1), ON_LIST, True)
        assert snapshot.name_seen("names", "a.leaves.example") == Sighted(at(1), at(1), False)
        assert snapshot.name_seen("names", "comes.example") == Sighted(at(2), ON_LIST, True)
        assert snapshot.name_seen("mails", "stays@example.org") == Sighted(at(1), at(1), False)
