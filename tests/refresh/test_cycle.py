"""A whole pass over lists in local files: what is published, what stays, what is told."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import socket
import sqlite3
import time
from typing import TYPE_CHECKING

import pytest

from blocklistd import RefreshBusy, Snapshot, StorageFailed, UsageError
from blocklistd.catalogue import read_catalogue
from blocklistd.cli.progress import Lines
from blocklistd.index.folder import manifests
from blocklistd.index.publish import prepare_folders
from blocklistd.refresh.cycle import refresh
from blocklistd.refresh.lane import ParseTask
from blocklistd.refresh.lanes import Lane
from blocklistd.refresh.lock import refresh_lock
from blocklistd.settings import Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.refresh.report import FeedResult, RefreshReport


class World:
    """A data folder, a folder of lists, and a catalogue over them."""

    def __init__(self, folder: Path) -> None:
        self.lists = folder / "lists"
        self.lists.mkdir()
        self.data = folder / "data"
        self.feeds: dict[str, str] = {}
        self.use = "noncommercial"
        self.log = folder / "log"
        self.given: dict[str, str] = {}

    def feed(self, feed_id: str, text: str | bytes | None = None, **fields: object) -> None:
        """Declare a feed over a local file; text None leaves the file alone."""
        path = self.lists / feed_id
        if text is not None:
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        options = {"format": "lines", "category": "attacker"} | fields
        rows = "".join(f"    {name}: {value}\n" for name, value in options.items() if value is not None)
        self.feeds[feed_id] = f"  - id: {feed_id}\n    url: file://{path}\n{rows}"

    @property
    def settings(self) -> Settings:
        return read_settings({"data": str(self.data), "use": self.use, **self.given}, {})

    def refresh(self, *, force: bool = True, names: tuple[str, ...] = ()) -> RefreshReport:
        """Make one pass."""
        catalogue = read_catalogue("feeds:\n" + "".join(self.feeds.values()), "feeds.yaml")
        with self.log.open("a") as log, Lines(log) as listener:
            return asyncio.run(refresh(catalogue, self.settings, listener, names=names, force=force))

    def feeds_of(self, ip: str) -> tuple[str, ...]:
        """Ask the published snapshot."""
        with Snapshot.open_current(self.data) as snapshot:
            return snapshot.lookup(ip).feeds


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def result_of(report: RefreshReport, feed: str) -> FeedResult:
    return next(result for result in report.feeds if result.feed == feed)


def test_lists_go_in_and_answers_come_out(world: World) -> None:
    """Two lists are fetched, compiled and published; the report tells what each brought."""
    world.feed("one", "192.0.2.0/24\n192.0.2.7\n192.0.2.7\n")
    world.feed("two", "192.0.2.7\n2001:db8::/32\n")
    report = world.refresh()
    assert report.published
    assert report.error is None
    assert world.feeds_of("192.0.2.7") == ("one", "two")
    assert world.feeds_of("2001:db8::1") == ("two",)
    one = result_of(report, "one")
    assert (one.state, one.entries, one.change) == ("updated", 2, 2)


def test_nothing_is_published_where_nothing_changed(world: World) -> None:
    """A second pass over the same bytes leaves the snapshot in force."""
    world.feed("one", "192.0.2.7\n")
    first = world.refresh()
    second = world.refresh()
    assert not second.published
    assert second.snapshot == first.snapshot
    assert result_of(second, "one").state == "unchanged"


def test_a_changed_list_makes_a_new_generation_and_keeps_what_did_not_change(world: World) -> None:
    """Only the sections that depend on the changed feed are new."""
    world.feed("one", "192.0.2.7\n")
    world.feed("two", "2001:db8::1\n")
    world.feed("names", "bad.example\n", kind="domain", category="disposable")
    world.refresh()
    with Snapshot.open_current(world.data) as before:
        world.feed("one", "192.0.2.8\n")
        report = world.refresh()
        with Snapshot.open_current(world.data) as after:
            assert after.generation == before.generation + 1
            assert after.sections["domains"] == before.sections["domains"]
            assert after.feeds[1].section == before.feeds[1].section
            assert after.feeds[0].section != before.feeds[0].section
    assert world.feeds_of("192.0.2.7") == ()
    assert world.feeds_of("192.0.2.8") == ("one",)
    assert result_of(report, "two").state == "unchanged"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", "empty"),
        ("<!doctype html><html><body>Just a moment…</body></html>", "HTML"),
        ("Umm... You can only fetch the data every 30 minutes - sorry.\n", "prose"),
        (b"\x1f\x8b\x08\x00cut", "archive"),
    ],
)
def test_a_refused_body_leaves_the_last_good_entries_in_force(world: World, body: str | bytes, reason: str) -> None:
    """What is no list is refused with a named reason, and no answer changes."""
    world.feed("one", "192.0.2.7\n")
    world.feed("two", "192.0.2.9\n")
    world.refresh()
    world.feed("one", body)
    report = world.refresh()
    one = result_of(report, "one")
    assert one.state == "refused"
    assert reason in one.reason
    assert one.entries == 1
    assert not report.published
    assert world.feeds_of("192.0.2.7") == ("one",)
    assert "stay in force" in world.log.read_text()


def test_a_list_that_may_be_empty_loses_its_entries(world: World) -> None:
    """With allow_empty an empty list is believed."""
    world.feed("one", "192.0.2.7\n", allow_empty="true")
    world.feed("two", "192.0.2.7\n")
    world.refresh()
    world.feed("one", "", allow_empty="true")
    report = world.refresh()
    assert result_of(report, "one").change == -1
    assert world.feeds_of("192.0.2.7") == ("two",)


def test_a_feed_that_cannot_be_fetched_fails_alone(world: World) -> None:
    """A missing file fails its own feed with a reason; the others are published."""
    world.feed("gone")
    world.feed("here", "192.0.2.7\n")
    report = world.refresh()
    assert result_of(report, "gone").state == "failed"
    assert result_of(report, "gone").reason
    assert report.published
    assert world.feeds_of("192.0.2.7") == ("here",)


def test_when_no_feed_comes_in_nothing_is_published(world: World) -> None:
    """The first pass without any list says so and leaves no snapshot."""
    world.feed("gone")
    report = world.refresh()
    assert report.error is not None
    assert report.snapshot is None
    assert not (world.data / "current").exists()


def test_a_bad_pattern_ends_at_its_deadline_and_harms_no_other_feed(world: World) -> None:
    """A regular expression that never ends costs its feed the turn, not the pass."""
    world.given = {"parse_deadline": "1s"}
    world.feed("endless", "a" * 60 + "!\n", format="regex", pattern=r"'(?P<address>(a+)+)$'")
    world.feed("here", "192.0.2.7\n")
    report = world.refresh()
    endless = result_of(report, "endless")
    assert endless.state == "refused"
    assert "longer than 1 s" in endless.reason
    assert world.feeds_of("192.0.2.7") == ("here",)


def test_a_feed_that_is_switched_off_leaves_the_answers(world: World) -> None:
    """Disabling a feed takes its entries out with the next pass; its siblings stay."""
    world.feed("one", "192.0.2.7\n")
    world.feed("two", "192.0.2.7\n")
    world.refresh()
    world.feed("one", enabled="false")
    assert world.refresh().published
    assert world.feeds_of("192.0.2.7") == ("two",)


def test_one_switch_takes_out_what_may_not_be_used_commercially(world: World) -> None:
    """use: commercial drops every noncommercial feed; the first pass names them."""
    world.feed("free", "192.0.2.7\n")
    world.feed("bound", "192.0.2.7\n", terms="noncommercial")
    with world.log.open("a") as log:
        catalogue = read_catalogue("feeds:\n" + "".join(world.feeds.values()), "feeds.yaml")
        Lines(log).begin(catalogue.enabled("noncommercial"), 2, first=True)
    assert re.search(r"terms of 1 feed.* bound\. .*--use commercial", world.log.read_text())
    world.refresh()
    assert world.feeds_of("192.0.2.7") == ("free", "bound")
    world.use = "commercial"
    world.refresh()
    assert world.feeds_of("192.0.2.7") == ("free",)


def test_exclusions_are_taken_out_of_answers_but_not_of_the_list(world: World) -> None:
    """Special-use space, a network and another feed's ranges do not answer, although the list wrote them."""
    world.feed("documentation", "203.0.113.0/24\n", category="bogon")
    world.feed(
        "dirty", "10.0.0.0/8\n100.1.1.0/24\n100.2.2.0/24\n203.0.113.9\n", exclude="[bogons, 100.1.1.0/25, unrouted]"
    )
    world.feed("unrouted", "100.2.2.128/25\n", category="bogon")
    world.refresh()
    for ip, feeds in {
        "10.1.1.1": (),
        "100.1.1.1": (),
        "100.1.1.200": ("dirty",),
        "100.2.2.1": ("dirty",),
        "100.2.2.200": ("unrouted",),
        "203.0.113.9": ("documentation",),
    }.items():
        assert world.feeds_of(ip) == feeds, ip


def test_single_ipv6_addresses_can_stand_for_their_network(world: World) -> None:
    """widen: 64 lists the /64 around a listed address and leaves networks as they are."""
    world.feed("six", "2001:db8:1::5\n2001:db8:2::/126\n", widen=64)
    world.refresh()
    assert world.feeds_of("2001:db8:1::ffff") == ("six",)
    assert world.feeds_of("2001:db8:1:1::5") == ()
    assert world.feeds_of("2001:db8:2::9") == ()
    with Snapshot.open_current(world.data) as snapshot:
        assert snapshot.networks_naming("2001:db8:1::ffff") == [("six", "2001:db8:1::/64")]


def test_listed_asns_are_expanded_through_the_table(world: World) -> None:
    """An address of a listed AS is named by the ASN list; the table itself lists nothing and answers origin."""
    table = '192.0.2.0,192.0.2.127,64500,"Example, Inc."\n198.51.100.0,198.51.100.255,64501,Other # One\n'
    world.feed(
        "table",
        table + "2001:db8::,2001:db8::ffff,64500,Example\n",
        format="csv",
        kind="asn_table",
        category=None,
        columns="{first: 1, last: 2, asn: 3, name: 4}",
    )
    world.feed(
        "countries",
        "192.0.2.0/24,DE\n",
        format="csv",
        kind="country_table",
        category=None,
        columns="{network: 1, country: 2}",
    )
    world.feed("bad", "AS64500\n", kind="asn", category="hosting")
    world.refresh()
    assert world.feeds_of("192.0.2.5") == ("bad",)
    assert world.feeds_of("192.0.2.200") == ()
    assert world.feeds_of("2001:db8::5") == ("bad",)
    with Snapshot.open_current(world.data) as snapshot:
        assert snapshot.autonomous_system("192.0.2.5") == (64500, "Example, Inc.")
        assert snapshot.autonomous_system("198.51.100.9") == (64501, "Other # One")
        assert snapshot.autonomous_system("203.0.113.1") is None
        assert snapshot.country("192.0.2.200") == "DE"
        assert snapshot.country("2001:db8::") is None
        assert snapshot.networks_naming("192.0.2.5") == [("bad", "192.0.2.0/25")]


def test_mail_addresses_are_kept_as_keyed_digests_alone(world: World) -> None:
    """A listed address is found in any case; no section holds it in readable form."""
    world.feed("mails", "Spammer@Example.net\nother@example.net\n", kind="email", category="spam")
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        assert snapshot.mail("spammer@example.NET").feeds == ("mails",)
        assert not snapshot.mail("nobody@example.net").listed
        assert not snapshot.mail("spammer@example.net", secret=bytes(32)).listed
    for path in (world.data / "sections").iterdir():
        assert b"example.net" not in path.read_bytes().lower()


def test_changed_options_reread_the_stored_body_without_fetching(world: World) -> None:
    """An edit of how a feed is read takes effect although the feed is not due."""
    world.feed("one", "192.0.2.7,5\n192.0.2.8,1\n", format="csv", columns="{address: 1, count: 2}")
    world.refresh()
    assert world.feeds_of("192.0.2.8") == ("one",)
    world.feed("one", format="csv", columns="{address: 1, count: 2}", min_count=3)
    report = world.refresh(force=False)
    assert result_of(report, "one").state == "not due"
    assert world.feeds_of("192.0.2.8") == ()
    assert world.feeds_of("192.0.2.7") == ("one",)


def test_a_pass_that_died_after_keeping_a_body_is_made_up_for(world: World) -> None:
    """Bodies without a snapshot (killed before publishing) are compiled by the next pass, due or not."""
    world.feed("one", "192.0.2.7\n")
    world.refresh()
    (world.data / "current").unlink()
    for path in (world.data / "snapshots").iterdir():
        path.unlink()
    report = world.refresh(force=False)
    assert report.published
    assert world.feeds_of("192.0.2.7") == ("one",)


def test_a_damaged_section_is_made_again(world: World) -> None:
    """A flipped byte in a feed's entries or in the segments is repaired from the stored body."""
    world.feed("one", "192.0.2.7\n")
    world.refresh()
    for path in (world.data / "sections").iterdir():
        content = bytearray(path.read_bytes())
        content[-1] ^= 0xFF
        path.chmod(0o644)
        path.write_bytes(content)
    report = world.refresh(force=False)
    assert report.error is None
    assert world.feeds_of("192.0.2.7") == ("one",)


def test_refused_lines_are_kept_with_number_and_text(world: World) -> None:
    """The record of a feed names its first bad lines."""
    world.feed("one", "192.0.2.7\n192.0.2.8\n192.0.2.9\n999.1.1.1\n192.0.2.10\n")
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        record = snapshot.feeds[0]
        assert record.rejected == 1
        assert record.rejects[0][:2] == (4, "999.1.1.1")


def test_fail2ban_bans_are_read_from_a_live_database(world: World) -> None:
    """Current bans of a database that is open elsewhere become entries with their jail."""
    path = world.lists / "f2b"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute(
            "CREATE TABLE bips(ip TEXT, jail TEXT, timeofban INTEGER, bantime INTEGER, bancount INTEGER, data JSON)",
        )
        database.execute("INSERT INTO bips VALUES ('192.0.2.7', 'sshd', 1700000000, -1, 1, '{}')")
        database.commit()
        world.feed("f2b", format="fail2ban")
        report = world.refresh()
    database.close()
    assert result_of(report, "f2b").state == "updated"
    assert world.feeds_of("192.0.2.7") == ("f2b",)


def test_only_one_refresh_works_on_a_folder(world: World) -> None:
    """A second pass is refused while the lock is held, and the lock is free again afterwards."""
    world.feed("one", "192.0.2.7\n")
    with refresh_lock(world.data), pytest.raises(RefreshBusy, match=str(os.getpid())):
        world.refresh()
    assert world.refresh().published


def test_unknown_names_and_an_empty_catalogue_are_usage_errors(world: World) -> None:
    """Nothing is done where the question is wrong."""
    world.feed("one", "192.0.2.7\n")
    with pytest.raises(UsageError, match="nope"):
        world.refresh(names=("nope",))
    world.feed("one", enabled="false")
    with pytest.raises(UsageError, match="enabled"):
        world.refresh()


def test_a_named_feed_is_asked_alone(world: World) -> None:
    """Only the named feed is fetched again; the others keep what they have."""
    world.feed("one", "192.0.2.1\n")
    world.feed("two", "192.0.2.2\n")
    world.refresh()
    world.feed("one", "192.0.2.11\n")
    world.feed("two", "192.0.2.22\n")
    report = world.refresh(force=False, names=("one",))
    assert [result.state for result in report.feeds] == ["updated", "not due"]
    assert world.feeds_of("192.0.2.11") == ("one",)
    assert world.feeds_of("192.0.2.22") == ()


def test_a_folder_that_cannot_be_written_is_told_plainly(world: World) -> None:
    """The data folder being a file is a storage error that names it."""
    world.feed("one", "192.0.2.7\n")
    world.data.write_text("in the way")
    with pytest.raises(StorageFailed, match="data"):
        world.refresh()


def test_older_snapshots_are_kept_by_number(world: World) -> None:
    """Of three generations the two newest stay."""
    world.given = {"keep_snapshots": "2"}
    for number in range(3):
        world.feed("one", f"192.0.2.{number}\n")
        world.refresh()
    assert [document["generation"] for document in manifests(world.data).values()] == [3, 2]


def test_a_feed_without_a_good_fetch_drops_out(world: World) -> None:
    """After drop_after the last good entries do not count any more, and the report says why."""
    world.feed("kept", "192.0.2.7\n")
    world.feed("gone", "192.0.2.7\n", stale_after="1s", drop_after="1s")
    world.refresh()
    (world.lists / "gone").unlink()
    report = world.refresh()
    deadline = time.monotonic() + 30
    while world.feeds_of("192.0.2.7") != ("kept",):
        assert time.monotonic() < deadline
        report = world.refresh()
    gone = result_of(report, "gone")
    assert gone.state == "failed"
    assert "dropped: no good fetch for 1s" in gone.reason


def test_a_feed_that_changed_its_kind_does_not_keep_old_entries(world: World) -> None:
    """Entries read as addresses are not taken for domains when the new version cannot be read."""
    world.feed("other", "192.0.2.9\n")
    world.feed("one", "192.0.2.7\n192.0.2.8\n")
    world.refresh()
    world.feed("one", kind="domain", category="disposable")
    result = result_of(world.refresh(), "one")
    assert (result.state, result.entries) == ("refused", 0)
    assert world.feeds_of("192.0.2.7") == ()


def test_an_exclusion_that_has_no_entries_yet_is_told(world: World) -> None:
    """A feed to be taken out that could not be fetched must not be missed silently."""
    world.feed("dirty", "100.1.1.0/24\n", exclude="[unrouted]")
    world.feed("unrouted", category="bogon")
    report = world.refresh()
    assert "nothing was excluded for unrouted" in result_of(report, "dirty").reason


def test_a_feed_that_is_off_for_a_while_comes_back_without_fetching(world: World) -> None:
    """Its body waits, so its floor does not keep it out."""
    world.feed("one", "192.0.2.7\n", floor="1h")
    world.feed("two", "192.0.2.7\n")
    world.refresh()
    world.feed("one", enabled="false", floor="1h")
    world.refresh()
    world.feed("one", floor="1h")
    report = world.refresh()
    assert result_of(report, "one").state == "not due"
    assert world.feeds_of("192.0.2.7") == ("one", "two")


def test_a_damaged_pointer_is_set_right_by_the_next_pass(world: World) -> None:
    """Even if nothing else changed."""
    world.feed("one", "192.0.2.7\n")
    report = world.refresh()
    (world.data / "current").write_text("garbage\n")
    assert not world.refresh(force=False).published
    assert (world.data / "current").read_text() == f"{report.snapshot}\n"


def test_the_lock_is_no_way_to_other_files(world: World, tmp_path: Path) -> None:
    """A link in the place of the lock is refused, and its target is not written."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    world.data.mkdir()
    (world.data / "lock").symlink_to(victim)
    world.feed("one", "192.0.2.7\n")
    with pytest.raises(StorageFailed, match="lock"):
        world.refresh()
    assert victim.read_text() == "precious"


def test_a_list_that_came_in_with_bad_lines_says_so(world: World) -> None:
    """The report counts them and shows the first."""
    world.feed("one", "192.0.2.7\n192.0.2.8\n999.1.1.1\n")
    assert "1 line refused: line 3 '999.1.1.1'" in result_of(world.refresh(), "one").reason


async def test_a_lane_has_bounded_memory(tmp_path: Path) -> None:
    """A list that needs more than a lane may have is refused for that reason."""
    catalogue = read_catalogue(
        "feeds:\n  - {id: big, url: 'file:///x', format: json, category: bot, paths: ['[]']}\n", "x"
    )
    big, little = tmp_path / "big", tmp_path / "little"
    big.write_bytes(gzip.compress(b"[" + b'"192.0.2.1",' * 5_000_000 + b'""]', compresslevel=1))
    little.write_text('["192.0.2.1"]')
    prepare_folders(tmp_path)

    def task(body: Path) -> ParseTask:
        return ParseTask(catalogue.feeds[0], (body,), tmp_path, "", None, b"")

    tight = Lane(60, memory=370 * 2**20)
    try:
        parsed = await tight.parse(task(big))
        assert parsed.refused is not None
        assert "memory" in parsed.refused.reason
    finally:
        await tight.close()
    roomy = Lane(60)
    try:
        assert (await roomy.parse(task(little))).counts.entries == 1
    finally:
        await roomy.close()


def test_without_a_network_the_floor_does_not_count(world: World) -> None:
    """An attempt that reached nobody bothers nobody: the feed may be asked again, and a failure at the file may not."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    world.feeds["far"] = (
        f"  - {{id: far, url: 'http://127.0.0.1:{port}/list', format: lines, category: bot, floor: 1h}}\n"
    )
    world.feed("gone", floor="1h")
    world.refresh()
    again = world.refresh()
    assert result_of(again, "far").state == "failed"
    assert "refused" in result_of(again, "far").reason
    assert result_of(again, "gone").state == "not due"
