"""Carrying from snapshot to snapshot: what is kept answers, what did not change is not written again."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocklistd.index.carry import Version, carry_names
from blocklistd.index.layout import SECTIONS
from blocklistd.index.record import FeedRecord
from blocklistd.index.seen import ON_LIST, Sighted
from tests.index.ground import Ground

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.index.sightings import Sighting

DAY = 86_400
NOON = 1_764_590_400.0
KEPT = {"one": {"keep": "2d"}}


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(tmp_path)


def sighting(ground: Ground, ip: str) -> Sighting | None:
    with ground.open() as snapshot:
        found = snapshot.sightings(ip)
        assert [one.record.id for one in found] == list(snapshot.lookup(ip).feeds)
        return found[0] if found else None


def seen_sections(ground: Ground) -> dict[str, str | None]:
    with ground.open() as snapshot:
        return {record.id: record.seen.name if record.seen else None for record in snapshot.feeds}


def test_a_first_version_writes_nothing_more(ground: Ground) -> None:
    """All of it came at once: the record says so, no section is needed."""
    ground.put({"one": [(4, 1, 9), (6, 7, 7)]}, NOON)
    assert seen_sections(ground) == {"one": None}
    found = sighting(ground, "0.0.0.5")
    assert found is not None
    assert (found.first_seen, found.last_seen, found.current) == (NOON, NOON, True)


def test_a_feed_that_did_not_change_keeps_its_section(ground: Ground) -> None:
    """Beside others that change its times are neither computed nor written anew."""
    ground.put({"one": [(4, 1, 1)], "two": [(4, 5, 5)]}, NOON)
    ground.put({"one": [(4, 1, 2)], "two": [(4, 5, 5)]}, NOON + DAY)
    before = seen_sections(ground)
    stamp = (ground.data / SECTIONS / str(before["one"])).stat().st_mtime_ns
    ground.put({"one": [(4, 1, 2)], "two": [(4, 6, 6)]}, NOON + 2 * DAY)
    assert seen_sections(ground)["one"] == before["one"]
    assert (ground.data / SECTIONS / str(before["one"])).stat().st_mtime_ns == stamp


@pytest.mark.parametrize("family", [4, 6])
def test_what_left_the_list_answers_until_its_time_is_over(ground: Ground, family: int) -> None:
    """It is kept as left, beside a list that does not change any more, and goes when the window has run out."""
    ip = "0.0.0.5" if family == 4 else "::5"
    ground.put({"one": [(family, 5, 5), (family, 8, 8)]}, NOON, **KEPT)
    ground.put({"one": [(family, 8, 8)]}, NOON + DAY, **KEPT)
    found = sighting(ground, ip)
    assert found is not None
    assert (found.first_seen, found.last_seen, found.current) == (NOON, NOON, False)
    assert ground.put({"one": [(family, 8, 8)]}, NOON + 2 * DAY, **KEPT).snapshot is None, "nothing has changed"
    assert ground.put({"one": [(family, 8, 8)]}, NOON + 2 * DAY + 1, **KEPT).snapshot is not None
    assert sighting(ground, ip) is None


def test_last_seen_is_the_last_confirmation(ground: Ground) -> None:
    """A pass that only confirms publishes nothing; what leaves later was still seen then."""
    ground.put({"one": [(4, 5, 5)]}, NOON, **KEPT)
    assert ground.put({"one": [(4, 5, 5)]}, NOON + DAY, **KEPT).snapshot is None
    ground.put({"one": [(4, 8, 8)]}, NOON + 2 * DAY, **KEPT)
    found = sighting(ground, "0.0.0.5")
    assert found is not None
    assert found.last_seen == NOON + DAY


def test_two_feeds_keep_each_for_itself(ground: Ground) -> None:
    """What one keeps is not the other's, and what another list still names is current there."""
    lists = {"one": [(6, 5, 5)], "two": [(6, 5, 6)]}
    ground.put(lists, NOON, **KEPT)
    ground.put({"one": [], "two": [(6, 6, 6)]}, NOON + DAY, **KEPT)
    with ground.open() as snapshot:
        assert snapshot.lookup("::5").feeds == ("one",)
        assert snapshot.lookup("::6").feeds == ("two",)


def test_what_the_operator_takes_out_is_not_kept(ground: Ground) -> None:
    """An exclusion takes effect at once; the list has not dropped the address."""
    ground.put({"one": [(4, 5, 8)]}, NOON, **KEPT)
    assert sighting(ground, "0.0.0.5") is not None
    ground.put({"one": [(4, 5, 8)]}, NOON + DAY, one={"keep": "2d", "exclude": "[0.0.0.5/32]"})
    assert sighting(ground, "0.0.0.5") is None
    assert sighting(ground, "0.0.0.6") is not None


def test_a_keep_that_is_given_up_ends_at_once(ground: Ground) -> None:
    """Without ``keep`` nothing that has left the list counts any more."""
    ground.put({"one": [(4, 5, 5)]}, NOON, **KEPT)
    ground.put({"one": []}, NOON + DAY, one={"keep": "9d", "allow_empty": "true"})
    assert sighting(ground, "0.0.0.5") is not None
    ground.put({"one": []}, NOON + DAY + 1, one={"allow_empty": "true"})
    assert sighting(ground, "0.0.0.5") is None


def test_a_damaged_section_of_times_is_made_anew(ground: Ground) -> None:
    """The next pass puts what is on the list back, since its last version; answers were never wrong."""
    ground.put({"one": [(4, 1, 1)]}, NOON)
    ground.put({"one": [(4, 1, 2)]}, NOON + DAY)
    path = ground.data / SECTIONS / str(seen_sections(ground)["one"])
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    ground.put({"one": [(4, 1, 2)]}, NOON + 2 * DAY)
    found = sighting(ground, "0.0.0.1")
    assert found is not None
    assert found.first_seen == NOON + DAY


def test_a_manifest_of_an_older_version_still_opens(ground: Ground) -> None:
    """Without the new fields everything counts as first seen when the entries arrived."""
    ground.put({"one": [(4, 1, 1)]}, NOON)
    with ground.open() as snapshot:
        document = snapshot.feeds[0].as_document()
    old = {name: value for name, value in document.items() if name not in {"covers", "since", "seen"}}
    record = FeedRecord.from_document(old)
    assert (record.seen, record.first_seen) == (None, record.changed_at)
    assert replace(record, since=5.0).first_seen == 5.0


def test_names_are_carried_by_the_same_rules() -> None:
    """Domains and digests: what stays keeps its first seen, what leaves is kept for a while, what is new is new."""
    version = Version(arrived=1000, confirmed=900, keep=200)
    before = {
        b"stays": Sighted(1, ON_LIST, True),
        b"leaves": Sighted(2, ON_LIST, True),
        b"kept": Sighted(3, 850, False),
        b"returns": Sighted(4, 850, False),
        b"runs out": Sighted(5, 799, False),
        b"returns late": Sighted(6, 799, False),
    }
    assert carry_names(before, [b"stays", b"new", b"returns", b"returns late"], version, 1000) == {
        b"stays": Sighted(1, ON_LIST, True),
        b"new": Sighted(1000, ON_LIST, True),
        b"returns": Sighted(4, ON_LIST, True),
        b"returns late": Sighted(1000, ON_LIST, True),
        b"leaves": Sighted(2, 900, False),
        b"kept": Sighted(3, 850, False),
    }
    assert b"leaves" not in carry_names(before, [], replace(version, keep=0), 1000)
