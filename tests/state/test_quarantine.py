"""Decisions about quarantined bodies, as they are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklistd.state.audit import Actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.quarantine import KEPT, Quarantined, decide, decided

if TYPE_CHECKING:
    from pathlib import Path

ANA = Actor("ana", "command line")


def body(number: int, feed: str = "mine") -> Quarantined:
    return Quarantined(feed, f"{number:064x}", "too short", 1.0, "accept", "ana", "looked", float(number))


def test_the_newest_decisions_of_each_feed_are_kept(tmp_path: Path) -> None:
    """An old body is asked about again one day; the decisions of other feeds do not count."""
    with Database.open(tmp_path) as database:
        decide(database, body(0, "other"), ANA)
        for number in range(1, KEPT + 3):
            decide(database, body(number), ANA)
    with Database.open(tmp_path) as database:
        assert decided(database, "mine", body(2).digest) is None
        assert decided(database, "mine", body(3).digest) == body(3)
        assert decided(database, "mine", body(KEPT + 2).digest) == body(KEPT + 2)
        assert decided(database, "other", body(0).digest) == body(0, "other")
        assert len(read_acts(database, 1000)) == KEPT + 3
