"""Fifteen ways in which other systems of this kind have failed their users, each told once and shown not to be ours.

The stories of lists that go wrong at their provider are told together, over three passes and a provider on loopback.
"""

from __future__ import annotations

import json
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocklistd import RefreshBusy, Snapshot, SnapshotCorrupt
from blocklistd.addresses import parse_address
from blocklistd.catalogue import load_catalogue
from blocklistd.collect.parse import parse_bodies
from blocklistd.index.layout import SECTIONS, Section
from blocklistd.reputation.overrides import Overrides
from blocklistd.settings import SHIPPED_CATALOGUE
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.overrides import make_override, put_override, read_overrides
from tests.acceptance.static_server import serving
from tests.collect.feeds import cidrs
from tests.daemon.running import Daemon, ask, wait_for
from tests.refresh.gated import Desk, Moment, Story, addresses, gone, put, tell
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

ANA = Actor("ana", "command line")
GOOD = addresses(200)
ASKED = (*addresses(210), "198.19.0.1")
PAGE = b"<!doctype html><html><body>Checking your browser, 198.19.0.1 (200 OK)</body></html>\n"
STORIES = {
    "outage": Story(((put(GOOD),), (gone,), ()), ASKED),
    "steady": Story(((put(GOOD),), (), ()), ASKED),
    "emptied": Story(((put(GOOD),), (put(b"# nothing found today\n"),), ()), ASKED),
    "page": Story(((put(GOOD),), (put(PAGE),), ()), ASKED),
    "doubled": Story(((put([*GOOD, *GOOD]),), (put([*GOOD[::-1], GOOD[0]]),), ()), ASKED),
}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    lists = tmp_path_factory.mktemp("provider")
    with serving(lists) as server:
        yield lists, server


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, provider: tuple[Path, str]) -> Desk:
    return Desk(tmp_path_factory.mktemp("stories"), *provider)


@pytest.fixture(scope="module")
def told(desk: Desk) -> dict[str, list[Moment]]:
    return tell(desk, STORIES, ())


def test_story_1_no_time_limit_of_all_empties_the_lists(told: dict[str, list[Moment]], tmp_path: Path) -> None:
    """Every entry had the same short life, updates failed for a while, and all protection ran out at once.

    Here entries have no life of their own: while a provider is out, all of its entries stay; only a whole feed drops
    out, after its own ``drop_after``, and says so.
    """
    assert [moment.named for moment in told["outage"]] == [GOOD] * 3
    make_snapshot(tmp_path, {"one": GOOD}, built_at=time.time() - 29 * 86400)
    with Snapshot.open_current(tmp_path) as snapshot:
        assert all(snapshot.lookup(ip).listed for ip in GOOD)


def test_story_2_an_empty_result_replaces_nothing(told: dict[str, list[Moment]], desk: Desk) -> None:
    """The output was opened for writing before the list was parsed; nothing came of it, and nothing was left.

    Here the good body lies where it was until a better one is vetted, and an empty one is refused.
    """
    _, emptied, later = told["emptied"]
    assert emptied.result.state == "refused"
    assert "empty" in emptied.result.reason
    assert emptied.named == later.named == GOOD
    assert emptied.state.parts[0].path.read_text().split() == GOOD


def test_story_3_a_failed_download_removes_nothing(told: dict[str, list[Moment]]) -> None:
    """The old list was removed before the new one had come, and it did not come.

    Here a failed fetch is told with its reason and leaves body, snapshot and answers alone.
    """
    before, failed, again = told["outage"]
    assert (failed.result.state, failed.result.reason) == ("failed", "HTTP 404")
    assert failed.state.parts == before.state.parts
    assert failed.state.parts[0].path.exists()
    assert again.state.failures == 2
    assert failed.result.entries == 200


def test_story_4_not_modified_is_a_success(told: dict[str, list[Moment]]) -> None:
    """A server said 304, which was counted as a failure, so that good lists were called broken.

    Here it confirms the list: no failure, no bytes, a younger age.
    """
    first, again, once_more = told["steady"]
    assert (again.result.state, again.result.reason, again.result.bytes) == ("unchanged", "", 0)
    assert again.state.failures == 0
    assert first.state.succeeded_at < again.state.succeeded_at < once_more.state.succeeded_at
    assert again.state.changed_at == first.state.changed_at


def test_story_5_what_the_operator_wrote_is_never_written_over(tmp_path: Path) -> None:
    """A saved "last good" copy was put back over an allowlist that the user had edited since.

    Here the lists and entries of the operator are only read: the newest edit counts, whatever becomes of other feeds.
    """
    lists = tmp_path / "lists"
    lists.mkdir()
    desk = Desk(tmp_path, lists, lists.as_uri())
    desk.feed("mine")
    desk.feed("theirs")
    desk.put(["192.0.2.1"], "mine")
    desk.put(GOOD, "theirs")
    desk.refresh()
    override = make_override("192.0.2.9", "allow", "our office", None, None, actor=ANA, now=time.time())
    with Database.open(desk.data) as database:
        put_override(database, override, ANA)
    desk.put(["192.0.2.2"], "mine")
    edited = (lists / "mine").stat()
    desk.put(b"", "theirs")
    desk.refresh()
    desk.refresh()
    assert desk.listed(["192.0.2.1", "192.0.2.2"], "mine") == ["192.0.2.2"]
    kept = (lists / "mine").stat()
    assert (kept.st_ino, kept.st_mtime_ns) == (edited.st_ino, edited.st_mtime_ns)
    assert (lists / "mine").read_text() == "192.0.2.2\n"
    with Database.open(desk.data) as database:
        assert read_overrides(database, time.time()) == [override]


def test_story_6_every_list_is_named_not_only_the_most_exact(tmp_path: Path) -> None:
    """Only the longest prefix was answered, which was wrong for one address in seven.

    Here the answer names all lists whose networks hold the address.
    """
    make_snapshot(tmp_path, {"wide": ["198.18.0.0/15"], "middle": ["198.18.1.0/24"], "exact": ["198.18.1.7"]})
    with Snapshot.open_current(tmp_path) as snapshot:
        assert snapshot.lookup("198.18.1.7").feeds == ("wide", "middle", "exact")
        assert snapshot.lookup("198.18.1.8").feeds == ("wide", "middle")
        assert snapshot.lookup("198.19.255.255").feeds == ("wide",)


def test_story_7_networks_with_one_start_do_not_collide(tmp_path: Path) -> None:
    """Networks were stored by their first address, so of two the wider was lost.

    And a search for the one around an address gave up after sixteen steps. Here twenty-four of them, one inside of the
    other, all answer.
    """
    lengths = range(9, 33)
    make_snapshot(tmp_path, {f"n{length}": [f"198.0.0.0/{length}"] for length in lengths})
    with Snapshot.open_current(tmp_path) as snapshot:
        for length in lengths:
            last = (198 << 24) + 2 ** (32 - length) - 1
            text = ".".join(str(last >> shift & 255) for shift in (24, 16, 8, 0))
            assert snapshot.lookup(text).feeds == tuple(f"n{wider}" for wider in lengths if wider <= length)


def test_story_8_the_ends_of_the_space_and_the_families_stay_apart(tmp_path: Path) -> None:
    """255.255.255.255 wrapped round to 0.0.0.0; a v4-mapped prefix was read wrong and hit across families.

    Here the highest addresses end where they end, and ::ffff:192.0.2.0/120 is 192.0.2.0/24 and nothing else.
    """
    make_snapshot(
        tmp_path,
        {"top": ["255.255.255.255", f"{'ffff:' * 7}ffff"], "low": ["0.0.0.0"], "mapped": ["::ffff:c000:200/120"]},
    )
    with Snapshot.open_current(tmp_path) as snapshot:
        for ip, feeds in {
            "255.255.255.255": ("top",),
            "255.255.255.254": (),
            "0.0.0.0": ("low",),
            "0.0.0.1": (),
            f"{'ffff:' * 7}ffff": ("top",),
            "::": (),
            "192.0.2.255": ("mapped",),
            "::ffff:192.0.2.1": ("mapped",),
            "192.0.3.0": (),
            "::c000:201": (),
            "::ffff:0:c000:201": (),
        }.items():
            assert snapshot.lookup(ip).feeds == feeds, ip


def test_story_9_a_network_is_a_network_in_its_own_family(tmp_path: Path) -> None:
    """A CIDR shrank to its first address; and in a tree of both families 32.0.0.1 was found in 2000::/8.

    Here a network answers to its last address, in lists and in overrides, and the families never meet.
    """
    make_snapshot(tmp_path, {"half": ["192.0.2.128/25"], "six": ["2000::/8"]})
    with Snapshot.open_current(tmp_path) as snapshot:
        assert snapshot.lookup("192.0.2.128").feeds == snapshot.lookup("192.0.2.255").feeds == ("half",)
        assert snapshot.lookup("32.0.0.1").feeds == ()
        assert snapshot.lookup("20ff::1").feeds == ("six",)
    entries = [make_override(k, "deny", "r", None, None, actor=ANA, now=0.0) for k in ("192.0.2.128/25", "2000::/16")]
    overrides = Overrides(entries)
    assert overrides.find(*parse_address("192.0.2.255")) == entries[0]
    assert overrides.find(*parse_address("32.0.0.1")) is None
    assert overrides.find(*parse_address("2000:ff::1")) == entries[1]


def test_story_10_a_file_that_is_mapped_is_never_written_in_place(tmp_path: Path) -> None:
    """A database was cut short in place while it was mapped, and its readers died.

    Here files are written aside and renamed, old ones are removed and not changed, so a reader answers on from what it
    has mapped; a file that is cut short is not opened.
    """
    make_snapshot(tmp_path, {"one": ["192.0.2.1"], "six": ["2001:db8::1"]})
    with Snapshot.open_current(tmp_path) as reader:
        before = {path: path.stat() for folder in (SECTIONS, "snapshots") for path in (tmp_path / folder).iterdir()}
        for number in range(2, 9):
            make_snapshot(tmp_path, {"one": [f"192.0.2.{number}"]})
        for path, old in before.items():
            if path.exists():
                now = path.stat()
                assert (now.st_ino, now.st_size, now.st_mtime_ns) == (old.st_ino, old.st_size, old.st_mtime_ns)
        for path in before:
            path.unlink(missing_ok=True)
        assert reader.lookup("192.0.2.1").feeds == ("one",)
        assert reader.lookup("2001:db8::1").feeds == ("six",)
    whole = next((tmp_path / SECTIONS).iterdir())
    cut = tmp_path / "cut"
    cut.write_bytes(whole.read_bytes()[:-1])
    with pytest.raises(SnapshotCorrupt):
        Section(cut)


def test_story_11_trouble_with_one_connection_does_not_end_the_daemon(tmp_path: Path) -> None:
    """accept() failed once, for want of a descriptor, and the daemon took that for its end.

    Here the very same process answers again when there are descriptors.
    """
    make_snapshot(tmp_path, {"one": ["192.0.2.1"]})
    with Daemon(tmp_path, "--no-refresh") as daemon:
        address = daemon.address
        (worker,) = daemon.workers()
        handles = Path(f"/proc/{worker}/fd")
        used, (_, hard) = len(list(handles.iterdir())), resource.prlimit(worker, resource.RLIMIT_NOFILE)
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (used + 4, hard))
        with ExitStack() as crowd:
            for _ in range(12):
                crowd.enter_context(socket.create_connection(address, timeout=20))
            wait_for(lambda: len(list(handles.iterdir())) >= used + 3, "the limit")
        assert wait_for(lambda: ask(address, "/v1/ip/192.0.2.1").json["listed"], "an answer after the crowd")
        assert daemon.workers() == [worker]


def test_story_12_a_web_page_is_no_list(told: dict[str, list[Moment]]) -> None:
    """A server answered 200 with a page, which was read as a list.

    Here it is refused for what it is, and an address in its text is not listed.
    """
    _, page, later = told["page"]
    assert page.result.state == "refused"
    assert page.result.reason.startswith("HTML instead of a list")
    assert page.named == later.named == GOOD


def test_story_13_two_refreshes_at_once_do_no_harm(tmp_path: Path) -> None:
    """Two refreshes overlapped and wrote into each other's temporary files.

    Here one works and the others are told so, in threads as in processes; nothing half-written stays.
    """
    lists = tmp_path / "lists"
    lists.mkdir()
    desk = Desk(tmp_path, lists, lists.as_uri())
    desk.feed("list")
    desk.put(GOOD)

    def attempt(_: int) -> str:
        try:
            return "published" if desk.refresh().published else "nothing new"
        except RefreshBusy:
            return "busy"

    with ThreadPoolExecutor(3) as pool:
        ends = list(pool.map(attempt, range(3)))
    assert ends.count("published") == 1
    assert desk.listed([*GOOD, "198.19.0.1"]) == GOOD
    assert not list(desk.data.rglob(".tmp-*"))


def test_story_14_what_is_already_there_is_not_brought_in_again(told: dict[str, list[Moment]], desk: Desk) -> None:
    """A check for duplicates thought that nothing was there yet, and imported everything with each run.

    Here entries count once however often they come and in whatever order, and the same entries are stored once.
    """
    first, second, third = told["doubled"]
    assert (first.result.entries, first.result.change) == (200, 200)
    assert [(moment.result.entries, moment.result.change) for moment in (second, third)] == [(200, 0), (200, 0)]
    assert second.named == GOOD
    with Snapshot.open_current(desk.data) as snapshot:
        records = {record.id: record for record in snapshot.feeds}
        assert records["doubled"].section.name == records["steady"].section.name


def test_story_15_exits_and_other_relays_are_two_lists() -> None:
    """A list called "Tor" held all relays, so that visitors were blocked for running a relay at home.

    Here ``tor`` are exits and ``tor_relay`` is the rest: by what each shipped list says it holds, and for a document
    of both by what becomes of it.
    """
    shipped = load_catalogue(SHIPPED_CATALOGUE).feeds
    exits = [feed for feed in shipped if feed.category == "tor"]
    assert len(exits) >= 3
    assert all("exit" in feed.title.lower() for feed in exits)
    relays = [
        {"flags": ["Running", "Exit"], "or_addresses": ["192.0.2.1:9001"], "exit_addresses": ["192.0.2.2"]},
        {"flags": ["Running", "Guard"], "or_addresses": ["198.51.100.1:443", "[2001:db8::1]:443"]},
    ]
    body = json.dumps({"relays": relays}).encode()
    by_id = {feed.id: parse_bodies(feed, [body]) for feed in shipped if feed.id.startswith("tor_onionoo")}
    assert cidrs(by_id["tor_onionoo_exits"].v4) == ["192.0.2.1/32", "192.0.2.2/32"]
    assert cidrs(by_id["tor_onionoo_relays"].v4) == ["198.51.100.1/32"]
    assert cidrs(by_id["tor_onionoo_relays"].v6) == ["2001:db8::1/128"]
