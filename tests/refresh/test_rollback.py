"""Going back to an earlier snapshot, staying with it, and letting refreshes publish again."""

from __future__ import annotations

import json
import shutil
from copy import copy
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from blocklistd import RefreshBusy, Snapshot, SnapshotCorrupt, UsageError
from blocklistd.addresses import parse_address
from blocklistd.cli import cli
from blocklistd.collect.state import read_state
from blocklistd.index.history import History
from blocklistd.refresh.lock import refresh_lock
from blocklistd.refresh.rollback import roll_back
from blocklistd.state.audit import Actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.pins import lift_pin, read_pin
from tests.refresh.world import TimedWorld

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.refresh.rollback import RolledBack

ANA = Actor("ana", "command line")


DAY = 86_400


@pytest.fixture(scope="module")
def three_snapshots(tmp_path_factory: pytest.TempPathFactory) -> TimedWorld:
    """192.0.2.1, then 192.0.2.2, then 192.0.2.3 is on the list."""
    world = TimedWorld(tmp_path_factory.mktemp("three"))
    for last in (1, 2, 3):
        world.feed("one", f"192.0.2.{last}\n198.51.100.0/24\n")
        world.refresh()
    return world


@pytest.fixture
def world(three_snapshots: TimedWorld, tmp_path: Path) -> TimedWorld:
    """A copy of the data folder with three snapshots."""
    world = copy(three_snapshots)
    world.data = tmp_path / "data"
    shutil.copytree(three_snapshots.data, world.data)
    world.feed("one", "192.0.2.3\n198.51.100.0/24\n")
    return world


def back(world: TimedWorld, wanted: str | None = None) -> RolledBack:
    world.now += 60
    return roll_back(world.settings, wanted, "it was wrong", ANA, world.now)


def ids(world: TimedWorld) -> list[str]:
    return sorted(path.name for path in (world.data / "snapshots").iterdir())


def test_the_snapshot_before_answers_again_as_a_new_generation(world: TimedWorld) -> None:
    """Without an id it is the one before; its sections are named anew, none is written."""
    first, second, _ = ids(world)
    sections = sorted(path.name for path in (world.data / "sections").iterdir())
    done = back(world)
    assert (done.published, done.pin.snapshot) == (True, second)
    assert world.feeds_of("192.0.2.2") == ("one",)
    assert world.feeds_of("192.0.2.3") == ()
    with Snapshot.open_current(world.data) as snapshot:
        assert (snapshot.id, snapshot.generation, snapshot.rolled_back_to) == (done.snapshot, 4, second)
    assert sorted(path.name for path in (world.data / "sections").iterdir()) == sections
    assert back(world).pin.snapshot == first, "and from there the one before that"


def test_refreshes_publish_nothing_until_the_pin_is_lifted(world: TimedWorld) -> None:
    """While pinned a pass fetches and reports, and says why nothing came of it; afterwards the lists are back."""
    done = back(world)
    world.feed("one", "192.0.2.4\n")
    report = world.refresh()
    assert report.feeds[0].state == "updated"
    assert not report.published
    assert report.snapshot == done.snapshot
    assert report.notes == (f"nothing was published: snapshot {done.pin.snapshot} is pinned by ana: it was wrong",)
    assert world.feeds_of("192.0.2.2") == ("one",)
    with Database.open(world.data) as database:
        lift_pin(database, ANA, world.now)
    assert world.refresh().published
    assert world.feeds_of("192.0.2.2") == ()
    assert world.feeds_of("192.0.2.4") == ("one",)


def test_the_history_tells_of_it(world: TimedWorld) -> None:
    """What a rollback takes away and brings back are events like any other, and the time before it is known."""
    before = world.now
    back(world)
    with Snapshot.open_current(world.data) as snapshot, History.open(world.data, snapshot.generation) as history:
        three = parse_address("192.0.2.3")
        events = [(event.at, event.name) for event in history.events(*three, limit=10)]
        assert events == [(world.now, "removed"), (before, "added")]
        assert history.feeds_at(*three, history.generation_at(before), (), ("one",)) == ("one",)


def test_reason_and_author_are_kept(world: TimedWorld) -> None:
    """The pin and the audit log say who went back, and why."""
    back(world)
    with Database.open(world.data) as database:
        pin = read_pin(database)
        assert pin is not None
        assert (pin.reason, pin.author, pin.at) == ("it was wrong", "ana", world.now)
        assert [(act.actor, act.action) for act in read_acts(database, 10)] == [("ana", "pin.set")]


def test_the_snapshot_in_force_can_be_pinned(world: TimedWorld) -> None:
    """Naming it publishes nothing and holds it fast."""
    current = ids(world)[-1]
    done = back(world, current)
    assert (done.published, done.snapshot) == (False, current)
    world.feed("one", "192.0.2.4\n")
    assert not world.refresh().published


def test_a_rollback_that_was_cut_off_can_be_given_again(world: TimedWorld) -> None:
    """Given twice it is done once."""
    done = back(world)
    again = back(world, done.pin.snapshot)
    assert (again.published, again.snapshot) == (False, done.snapshot)


def test_a_refresh_under_way_publishes_nothing_more(world: TimedWorld) -> None:
    """The pin holds at once; the snapshot is in force when the command is given again, and is still the same one."""
    with refresh_lock(world.data), pytest.raises(RefreshBusy, match="is pinned, so that what is under way"):
        back(world)
    world.feed("one", "192.0.2.4\n198.51.100.0/24\n")
    assert not world.refresh().published
    assert back(world).pin.snapshot == ids(world)[1]
    assert world.feeds_of("192.0.2.2") == ("one",)


def test_going_back_twice_never_goes_forward(world: TimedWorld) -> None:
    """What was gone back to stays among the kept ones, so what came after it is not taken for earlier."""
    world.given = {"keep_snapshots": "3"}
    first = ids(world)[0]
    done = back(world, first)
    world.refresh()
    assert {first, done.snapshot} <= set(ids(world))
    with pytest.raises(UsageError, match="no earlier snapshot"):
        back(world)
    assert world.feeds_of("192.0.2.1") == ("one",)


def test_a_version_that_is_read_again_is_no_new_one(world: TimedWorld) -> None:
    """Under a pin lists are read in every pass; their past, by which the gate judges, grows with new versions alone."""
    past = read_state(world.data, "one").past
    assert len(past) == 3
    back(world)
    assert not world.refresh().published
    assert read_state(world.data, "one").past == past


def test_where_there_is_nothing_to_go_back_to_it_says_so(world: TimedWorld) -> None:
    """No earlier snapshot, or none of that name: nothing is pinned."""
    with pytest.raises(UsageError, match="no snapshot is called"):
        back(world, "20200101T000000Z-00000000")
    for older in ids(world)[:-1]:
        (world.data / "snapshots" / older).unlink()
    with pytest.raises(UsageError, match="no earlier snapshot"):
        back(world)
    assert not (world.data / "state.db").exists()


def test_a_damaged_snapshot_is_no_place_to_go_back_to(world: TimedWorld) -> None:
    """Every section is verified first; the snapshot in force stays and nothing is pinned."""
    first = ids(world)[0]
    with Snapshot.open(world.data / "snapshots" / first) as snapshot:
        section = world.data / "sections" / snapshot.feeds[0].section.name
    section.chmod(0o644)
    section.write_bytes(section.read_bytes()[:-1] + b"x")
    with pytest.raises(SnapshotCorrupt, match="is damaged: entries-"):
        back(world, first)
    assert world.feeds_of("192.0.2.3") == ("one",)
    world.feed("one", "192.0.2.4\n")
    assert world.refresh().published


def test_a_snapshot_gone_back_to_stays_where_no_pin_can_be_read(world: TimedWorld) -> None:
    """With a damaged state.db nobody knows of the pin; that the snapshot was gone back to is told by itself."""
    back(world)
    for path in world.data.glob("state.db*"):
        path.unlink()
    (world.data / "state.db").write_bytes(b"no database at all" * 100)
    world.feed("one", "192.0.2.4\n")
    report = world.refresh()
    assert not report.published
    assert "no pin can be read" in report.notes[0]
    assert world.feeds_of("192.0.2.2") == ("one",)


def test_last_seen_is_that_of_the_version_that_was_pinned(tmp_path: Path) -> None:
    """What came and went under a pin confirms nothing of what answered meanwhile."""
    world = TimedWorld(tmp_path)
    world.feed("one", "192.0.2.1\n192.0.2.2\n", keep="30d")
    world.refresh()
    seen = world.now
    back(world, ids(world)[0])
    for last in (3, 4):
        world.feed("one", f"192.0.2.1\n192.0.2.{last}\n", keep="30d")
        world.refresh()
    with Database.open(world.data) as database:
        lift_pin(database, ANA, world.now)
    world.refresh()
    with Snapshot.open_current(world.data) as snapshot:
        (left,) = snapshot.sightings("192.0.2.2")
    assert (left.current, left.last_seen) == (False, seen)


def test_under_a_pin_a_list_may_move_on(tmp_path: Path) -> None:
    """Nothing in common with what is pinned is no news after more than a week, whatever came in between."""
    world = TimedWorld(tmp_path)
    lists = [[f"198.18.{part}.{last}" for last in range(150)] for part in range(3)]
    world.feed("one", "\n".join(lists[0]), gate=None)
    world.refresh()
    back(world, ids(world)[0])
    for brought in (lists[0] + lists[1], lists[1] + lists[2]):
        world.feed("one", "\n".join(brought), gate=None)
        assert world.refresh(later=4 * DAY).feeds[0].state == "updated"


def run(world: TimedWorld, *arguments: str) -> Any:
    result = CliRunner().invoke(cli, [*arguments, "--data", str(world.data)], standalone_mode=False)
    assert result.exception is None, result.exception
    return result


def test_the_command_lists_goes_back_and_lifts(world: TimedWorld) -> None:
    """``--list`` shows what is kept, no argument goes back, ``--lift`` lets refreshes publish again."""
    rows = json.loads(run(world, "rollback", "--list", "--json").stdout)
    assert rows["pin"] is None
    assert [row["id"] for row in rows["snapshots"]] == ids(world)[::-1]
    assert [row["in_force"] for row in rows["snapshots"]] == [True, False, False]
    assert "is in force again" in run(world, "rollback", "--reason", "it was wrong").stdout
    shown = run(world, "rollback", "--list").stdout
    assert "pinned by" in shown
    assert "copy of" in shown
    assert "no longer pinned" in run(world, "rollback", "--lift").stdout
    assert "nothing is pinned" in run(world, "rollback", "--lift").stderr
