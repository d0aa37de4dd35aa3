"""Snapshots as their readers see them: every kind of question, and what damaged files do."""

from __future__ import annotations

import ipaddress
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklistd import BadAddress, Listing, NoSnapshot, Snapshot, SnapshotCorrupt, StorageFailed
from blocklistd.index.current import CurrentSnapshot
from blocklistd.index.publish import prepare_folders, retain
from tests.index.oracle import Oracle
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("code")

FEEDS = {
    "wide": ["192.0.2.0/24", "2001:db8::/32", "255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
    "narrow": ["192.0.2.7", "192.0.2.128-192.0.2.140", "2001:db8::5", "0.0.0.0"],
    "inner": ["192.0.2.0/25", "192.0.2.0/26", "2001:db8::/64", "::"],
}

address4 = st.integers(0, 300).map(lambda v: v + 0xC0000100) | st.sampled_from([0, 1, 2**32 - 2, 2**32 - 1])
address6 = st.integers(0, 300).map(lambda v: v + (0x20010DB8 << 96)) | st.sampled_from(
    [0, 1, 2**64 - 1, 2**64, (0x20010DB8 << 96) + 2**64, 2**128 - 1, 2**127],
)


def ranges(address: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, int]]]:
    return st.lists(st.tuples(address, address).map(lambda t: (min(t), max(t))), max_size=5)


@given(st.lists(st.tuples(ranges(address4), ranges(address6)), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_what_is_written_is_what_is_answered(
    tmp_path_factory: pytest.TempPathFactory,
    feeds: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]],
) -> None:
    """Write, open, ask at every border of both families: single and bulk answer as a linear scan does."""
    data = tmp_path_factory.mktemp("data")
    texts = {
        f"feed{number}": [
            *(f"{ipaddress.IPv4Address(first)}-{ipaddress.IPv4Address(last)}" for first, last in four),
            *(f"{ipaddress.IPv6Address(first)}-{ipaddress.IPv6Address(last)}" for first, last in six),
        ]
        for number, (four, six) in enumerate(feeds)
    }
    make_snapshot(data, texts)
    four = Oracle({f"feed{number}": ranges for number, (ranges, _) in enumerate(feeds)})
    six = Oracle({f"feed{number}": ranges for number, (_, ranges) in enumerate(feeds)})
    questions = {str(ipaddress.IPv4Address(value)): four.feeds_of(value) for value in four.edges(2**32)}
    for value in six.edges(2**128):
        if value >> 32 != 0xFFFF:  # mapped addresses are IPv4
            questions[str(ipaddress.IPv6Address(value))] = six.feeds_of(value)
    with Snapshot.open_current(data) as snapshot:
        assert {ip: snapshot.lookup(ip).feeds for ip in questions} == questions
        many = list(questions) * 8
        assert [listing.feeds for listing in snapshot.lookup_many(many)] == [questions[ip] for ip in many]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_snapshot(tmp_path, FEEDS, domains={"names": ["bad.example", "*.worse.example"]})
    return tmp_path


def test_feeds_come_in_the_order_of_the_catalogue(data: Path) -> None:
    """An address on three lists names all three, as the catalogue orders them."""
    with Snapshot.open_current(data) as snapshot:
        assert snapshot.lookup("192.0.2.7") == Listing(("wide", "narrow", "inner"))
        assert snapshot.lookup("198.51.100.1") == Listing(())
        assert not snapshot.lookup("198.51.100.1").listed


@pytest.mark.parametrize(
    "question",
    ["192.0.2.7", ipaddress.IPv4Address("192.0.2.7"), 0xC0000207, "::ffff:192.0.2.7", "::ffff:c000:207"],
)
def test_every_type_of_question_gets_the_same_answer(data: Path, question: object) -> None:
    """Text, ipaddress objects, integers and IPv4-mapped addresses are one address."""
    with Snapshot.open_current(data) as snapshot:
        assert snapshot.lookup(question).feeds == ("wide", "narrow", "inner")  # type: ignore[arg-type]
        assert snapshot.lookup_many([question] * 100)[99].feeds == ("wide", "narrow", "inner")  # type: ignore[list-item]


@pytest.mark.parametrize(
    "question",
    [
        "",
        "192.0.2",
        "192.0.2.07",
        "192.0.2.1:80",
        "2001:db8::1%eth0",
        " 192.0.2.1",
        "1.2.3.4\0",
        "é",
        True,
        None,
        -1,
        2**128,
    ],
)
def test_anything_but_one_plain_address_is_an_error(data: Path, question: object) -> None:
    """Singly and in bulk, a malformed question is BadAddress and never an answer."""
    with Snapshot.open_current(data) as snapshot:
        with pytest.raises(BadAddress):
            snapshot.lookup(question)  # type: ignore[arg-type]
        with pytest.raises(BadAddress):
            snapshot.lookup_many(["192.0.2.1"] * 99 + [question])  # type: ignore[list-item]


def test_listings_of_one_set_are_one_object(data: Path) -> None:
    """A listing is made once a set and shared."""
    with Snapshot.open_current(data) as snapshot:
        assert snapshot.lookup("192.0.2.1") is snapshot.lookup("192.0.2.2")


def test_the_most_exact_network_is_named_as_the_list_wrote_it(data: Path) -> None:
    """Explaining gives one network a feed: the CIDR written, or the part of a range that holds the address."""
    with Snapshot.open_current(data) as snapshot:
        assert dict(snapshot.networks_naming("192.0.2.7")) == {
            "wide": "192.0.2.0/24",
            "narrow": "192.0.2.7/32",
            "inner": "192.0.2.0/26",
        }
        assert dict(snapshot.networks_naming("192.0.2.100")) == {"wide": "192.0.2.0/24", "inner": "192.0.2.0/25"}
        assert dict(snapshot.networks_naming("192.0.2.138"))["narrow"] == "192.0.2.136/30"
        assert dict(snapshot.networks_naming("2001:db8::5"))["inner"] == "2001:db8::/64"


def test_domains_match_exactly_or_below_a_wildcard(data: Path) -> None:
    """An exact name stands for itself, a wildcard for itself and everything below."""
    with Snapshot.open_current(data) as snapshot:
        assert snapshot.domain("bad.example").listed
        assert not snapshot.domain("sub.bad.example").listed
        assert snapshot.domain("worse.example").listed
        assert snapshot.domain("a.b.worse.example").listed
        assert not snapshot.domain("example").listed


def test_an_empty_folder_has_no_snapshot(tmp_path: Path) -> None:
    """Nothing compiled yet is its own error, with what to do about it."""
    with pytest.raises(NoSnapshot, match="blocklistd refresh"):
        Snapshot.open_current(tmp_path)


def test_a_damaged_snapshot_gives_way_to_the_newest_good_one(tmp_path: Path) -> None:
    """When the published manifest is broken, the one before answers."""
    older = make_snapshot(tmp_path, {"old": ["192.0.2.1"]}, built_at=1_000_000.0)
    newer = make_snapshot(tmp_path, {"new": ["192.0.2.1"]}, built_at=2_000_000.0)
    manifest = tmp_path / "snapshots" / newer
    manifest.chmod(0o644)
    manifest.write_bytes(manifest.read_bytes()[:-1])
    with pytest.raises(SnapshotCorrupt):
        Snapshot.open(manifest)
    with Snapshot.open_current(tmp_path) as snapshot:
        assert snapshot.id == older
        assert snapshot.lookup("192.0.2.1").feeds == ("old",)


def test_the_cell_follows_the_pointer_and_keeps_the_old_one_for_its_readers(tmp_path: Path) -> None:
    """Poll switches to a newer snapshot; whoever holds the old one is still answered from it."""
    current = CurrentSnapshot(tmp_path)
    assert not current.poll()
    assert current.snapshot is None
    make_snapshot(tmp_path, {"old": ["192.0.2.1"]})
    assert current.poll()
    held = current.snapshot
    assert held is not None
    make_snapshot(tmp_path, {"new": ["192.0.2.1"]})
    assert current.poll()
    assert not current.poll()
    assert held.lookup("192.0.2.1").feeds == ("old",)
    assert current.snapshot is not None
    assert current.snapshot.lookup("192.0.2.1").feeds == ("new",)


def test_a_snapshot_that_cannot_be_opened_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    """The cell says what is wrong and goes on answering."""
    make_snapshot(tmp_path, {"old": ["192.0.2.1"]})
    current = CurrentSnapshot(tmp_path)
    current.poll()
    newer = make_snapshot(tmp_path, {"new": ["192.0.2.1"]})
    (tmp_path / "snapshots" / newer).unlink()
    assert not current.poll()
    assert current.snapshot is not None
    assert current.snapshot.lookup("192.0.2.1").feeds == ("old",)


def test_retention_keeps_the_newest_and_removes_sections_nobody_names(tmp_path: Path) -> None:
    """Five snapshots cut to two: the published one and the one before it, and only their sections."""
    ids = [make_snapshot(tmp_path, {"feed": [f"192.0.2.{n}"]}, built_at=1e6 + n) for n in range(5)]
    assert retain(tmp_path, keep=2, budget=2**30) == 2
    assert {path.name for path in (tmp_path / "snapshots").iterdir()} == set(ids[-2:])
    sections = len(list((tmp_path / "sections").iterdir()))
    for snapshot_id in ids[-2:]:
        with Snapshot.open(tmp_path / "snapshots" / snapshot_id) as snapshot:
            assert snapshot.networks_naming(f"192.0.2.{(snapshot_id == ids[-1] and 4) or 3}")
    assert retain(tmp_path, keep=2, budget=1) == 1
    assert len(list((tmp_path / "sections").iterdir())) < sections


def test_leftovers_of_a_killed_writer_are_removed(tmp_path: Path) -> None:
    """Temporary files go when the next writer prepares the folder."""
    prepare_folders(tmp_path)
    (tmp_path / "sections" / ".tmp-abc").write_bytes(b"half")
    prepare_folders(tmp_path)
    assert list((tmp_path / "sections").iterdir()) == []


def test_a_passing_fault_is_tried_again(tmp_path: Path) -> None:
    """A worker that could not open the new snapshot at first opens it later, although the pointer did not move."""
    clock = [0.0]
    make_snapshot(tmp_path, {"old": ["192.0.2.1"]})
    current = CurrentSnapshot(tmp_path, clock=lambda: clock[0])
    current.poll()
    newer = make_snapshot(tmp_path, {"new": ["192.0.2.1"]})
    aside = tmp_path / "aside"
    (tmp_path / "snapshots" / newer).rename(aside)
    assert not current.poll()
    assert newer in current.problem
    aside.rename(tmp_path / "snapshots" / newer)
    assert not current.poll()
    clock[0] += 10
    assert current.poll()
    assert current.problem == ""
    assert current.snapshot is not None
    assert current.snapshot.id == newer


def test_a_folder_that_cannot_be_read_is_no_missing_snapshot(tmp_path: Path) -> None:
    """What is no file in the place of the pointer is a fault of the storage, and reading it never waits."""
    make_snapshot(tmp_path, {"one": ["192.0.2.1"]})
    (tmp_path / "current").unlink()
    os.mkfifo(tmp_path / "current")
    with pytest.raises(StorageFailed, match="regular file"):
        Snapshot.open_current(tmp_path)


def test_retention_goes_by_generation_and_spares_the_published(tmp_path: Path) -> None:
    """A clock that was set back does not make the newest snapshot the oldest."""
    ids = [
        make_snapshot(tmp_path, {"f": [f"192.0.2.{n}"]}, built_at=moment) for n, moment in enumerate((3e6, 2e6, 1e6))
    ]
    assert retain(tmp_path, keep=2, budget=2**30) == 2
    assert {path.name for path in (tmp_path / "snapshots").iterdir()} == set(ids[1:])
    published = tmp_path / "snapshots" / ids[2]
    published.chmod(0o644)
    published.write_bytes(b"damaged")
    retain(tmp_path, keep=1, budget=2**30)
    assert published.exists()


def test_a_stand_in_says_so(tmp_path: Path) -> None:
    """Whoever opens an older snapshot in place of a damaged one can tell its user."""
    older = make_snapshot(tmp_path, {"f": ["192.0.2.1"]})
    newer = make_snapshot(tmp_path, {"f": ["192.0.2.2"]})
    (tmp_path / "snapshots" / newer).unlink()
    with Snapshot.open_current(tmp_path) as snapshot:
        assert snapshot.id == older
        assert newer in snapshot.problem


def test_a_closed_snapshot_answers_nothing(data: Path) -> None:
    """A question after close says what is wrong."""
    snapshot = Snapshot.open_current(data)
    snapshot.close()
    with pytest.raises(ValueError, match="closed"):
        snapshot.lookup("192.0.2.1")


def test_many_addresses_may_come_from_any_iterable(data: Path) -> None:
    """A generator is as good as a list; one text is a mistake."""
    with Snapshot.open_current(data) as snapshot:
        assert len(snapshot.lookup_many(f"192.0.2.{n}" for n in range(200))) == 200
        with pytest.raises(BadAddress, match="list"):
            snapshot.lookup_many("192.0.2.1")
