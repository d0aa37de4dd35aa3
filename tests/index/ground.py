"""Snapshots published in-process from ranges written in the test, at times that the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd import Snapshot
from blocklistd.catalogue import read_catalogue
from blocklistd.collect.merge import make_networks
from blocklistd.collect.model import Counts
from blocklistd.collect.state import FeedState
from blocklistd.index.entries import FeedEntries, encode_entries
from blocklistd.index.folder import published
from blocklistd.index.history import History
from blocklistd.index.layout import SNAPSHOTS
from blocklistd.index.publish import prepare_folders, write_section
from blocklistd.networks import no_networks
from blocklistd.refresh.lane import Parsed
from blocklistd.refresh.publishing import Published, compile_and_publish
from blocklistd.refresh.records import new_record
from blocklistd.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocklistd.networks import Networks

Range = tuple[int, int, int]
"""Family, first and last address."""


class Ground:
    """A data folder in which each ``put`` is a pass that brought these ranges and nothing else."""

    def __init__(self, data: Path, **given: str) -> None:
        self.data = data
        self.given = given
        self.states: dict[str, FeedState] = {}
        self.sections: dict[str, str] = {}
        prepare_folders(data)

    def put(self, lists: Mapping[str, Sequence[Range]], now: float, **options: Mapping[str, Any]) -> Published:
        """Publish these feeds; options: further fields of the catalogue by feed."""
        rows = "".join(
            f"  - {{id: {name}, url: 'file:///{name}', format: lines, category: attacker"
            + "".join(f", {field}: {value}" for field, value in options.get(name, {}).items())
            + "}\n"
            for name in lists
        )
        feeds = read_catalogue(f"feeds:\n{rows}", "feeds.yaml").feeds
        records = []
        for feed in feeds:
            entries = FeedEntries(v4=_networks(4, lists[feed.id]), v6=_networks(6, lists[feed.id]))
            section = write_section(self.data, encode_entries(entries))
            state = self._fetched(feed.id, now, changed=self.sections.get(feed.id) != section.name)
            self.sections[feed.id] = section.name
            count = len(lists[feed.id])
            records.append(new_record(feed, state, Parsed(Counts(entries=count, unique=count)), section))
        settings = read_settings({"data": str(self.data), **self.given}, {})
        former = self.open() if published(self.data) else None
        try:
            return compile_and_publish(settings, feeds, records, self.states, former, now)
        finally:
            if former is not None:
                former.close()

    def _fetched(self, feed: str, now: float, *, changed: bool) -> FeedState:
        before = self.states.get(feed, FeedState(feed))
        state = FeedState(
            feed,
            succeeded_at=now,
            changed_at=now if changed else before.changed_at,
            confirmed_at=before.succeeded_at if changed else before.confirmed_at,
        )
        self.states[feed] = state
        return state

    def open(self) -> Snapshot:
        """The published snapshot."""
        return Snapshot.open(self.data / SNAPSHOTS / str(published(self.data)))

    def events(self, family: int, value: int) -> list[tuple[float, str, str]]:
        """What the history tells of an address: time, feed and event, newest first."""
        with self.open() as snapshot, History.open(self.data, snapshot.generation) as history:
            return [(event.at, event.feed, event.name) for event in history.events(family, value, limit=1000)]

    def known_since(self) -> float | None:
        """Since when the history of the published snapshot is known."""
        with self.open() as snapshot, History.open(self.data, snapshot.generation) as history:
            return history.known_since()


def _networks(family: int, ranges: Sequence[Range]) -> Networks:
    mine = [(first, last) for kind, first, last in ranges if kind == family]
    if not mine:
        return no_networks(family)
    columns = [column_of(family, [row[place] for row in mine]) for place in (0, 1)]
    return make_networks(family, [(columns[0], columns[1], {})])


def column_of(family: int, values: Sequence[int]) -> Any:
    """Addresses as a column of ``Networks``."""
    if family == 4:
        return np.array(values, np.uint32)
    return np.array([(value >> 64, value & 2**64 - 1) for value in values], np.uint64).reshape(-1, 2)
