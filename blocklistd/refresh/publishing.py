"""The last steps of a pass: records of all feeds → compiled, recorded in the history, published.

    entries ─ carry (first and last seen) ─ compile ─ write ─ history ─ publish

Nothing is published where the snapshot in force already says the same. The history is committed before the snapshot is
published; whatever goes wrong with it is told and keeps no snapshot back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from blocklistd.errors import StorageFailed
from blocklistd.index.carry import Version, carry_all
from blocklistd.index.compile import compile_index
from blocklistd.index.coverage import Source
from blocklistd.index.entries import StoredEntries
from blocklistd.index.folder import point_to, published
from blocklistd.index.history_writer import Retention, record
from blocklistd.index.layout import SECTIONS, Section
from blocklistd.index.publish import is_whole, manifest_of, next_generation, publish, section_names, write_section
from blocklistd.index.snapshot import Snapshot
from blocklistd.state.database import Database
from blocklistd.state.pins import Pin, read_pin

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocklistd.catalogue import Feed
    from blocklistd.collect.state import FeedState
    from blocklistd.index.layout import SectionReference
    from blocklistd.index.record import FeedRecord
    from blocklistd.settings import Settings


@dataclass(frozen=True, slots=True)
class Published:
    """What came of it. snapshot: the new id, None where nothing changed; notes: what the operator should know."""

    snapshot: str | None = None
    notes: tuple[str, ...] = ()


def compile_and_publish(
    settings: Settings,
    feeds: Sequence[Feed],
    records: Sequence[FeedRecord],
    states: Mapping[str, FeedState],
    former: Snapshot | None,
    now: float,
) -> Published:
    """Make the next snapshot of the records; ``states``: of their fetches, ``now``: its time. Raises StorageFailed."""
    data = settings.data
    sources = _sources(data, feeds, records)
    past = {record.id: record for record in former.feeds} if former else {}
    versions = {record.id: _version(record, past.get(record.id), states.get(record.id)) for record in records}
    carried = carry_all(sources, versions, former, now)
    whole = {role: ref for role, ref in former.sections.items() if is_whole(data, ref)} if former else {}
    ranges = {record.id: (record.v4, record.v6) for record in past.values()}
    served = [carried[source.id].source for source in sources]
    compiled = compile_index(served, whole, ranges, partial(_open, data))
    complete = []
    for one in records:
        times, (v4, v6) = carried[one.id], compiled.ranges[one.id]
        complete.append(replace(one, v4=v4, v6=v6, covers=times.covers, since=times.since, seen=times.seen))
    if former and compiled.sections == former.sections and _same(complete, former.feeds):
        if published(data) != former.id:  # the pointer was damaged, or names something that is
            point_to(data, former.id)
        return Published()
    for fresh in (*compiled.fresh, *(times.fresh for times in carried.values() if times.fresh is not None)):
        write_section(data, fresh)
    return publish_recorded(settings, compiled.sections, complete, former, now)


def publish_recorded(
    settings: Settings,
    sections: Mapping[str, SectionReference],
    feeds: Sequence[FeedRecord],
    former: Snapshot | None,
    now: float,
    rolled_back_to: str | None = None,
) -> Published:
    """Record what changes from the snapshot in force to these sections, then publish them."""
    data, generation = settings.data, next_generation(settings.data)
    document = manifest_of(generation=generation, built_at=now, sections=sections, feeds=feeds)
    with Snapshot("about to be published", document, data) as after:
        recorded = record(data, former, after, now, Retention(settings.history_days, settings.history_bytes))
    snapshot_id = publish(
        data,
        generation=generation,
        built_at=now,
        sections=sections,
        feeds=feeds,
        settled=section_names(former.sections, former.feeds) if former else (),
        rolled_back_to=rolled_back_to,
    )
    return Published(snapshot_id, (recorded.note,) if recorded.note else ())


def pin_of(data: Path, former: Snapshot | None) -> Pin | None:
    """The pin that keeps refreshes from publishing.

    Where ``state.db`` cannot be read, a snapshot that an operator went back to counts as pinned: better to stay with it
    than to let the lists back in that he got rid of.
    """
    try:
        database = Database.open_existing(data)
        if database is None:
            return None
        with database:
            return read_pin(database)
    except StorageFailed as error:
        if former is None or former.rolled_back_to is None:
            return None
        return Pin(former.rolled_back_to, f"no pin can be read: {error}", "", former.built_at)


def _sources(data: Path, feeds: Sequence[Feed], records: Sequence[FeedRecord]) -> list[Source]:
    by_id = {feed.id: feed for feed in feeds}
    sources = []
    for one in records:
        feed, entries = by_id[one.id], StoredEntries.of(partial(_open, data, one.section))
        sources.append(Source(one.id, one.kind, one.section.name, entries, feed.exclude, feed.widen))
    return sources


def _open(data: Path, section: SectionReference) -> Section:
    return Section(data / SECTIONS / section.name, section)


def _version(record: FeedRecord, former: FeedRecord | None, state: FeedState | None) -> Version:
    """When the version of a record came, and when the one before it was last confirmed."""
    if former is None or record.changed_at > former.changed_at:
        arrived = min(record.changed_at, record.fetched_at)
    else:
        arrived = record.fetched_at  # the same bytes, read in another way
    confirmed = former.fetched_at if former else 0.0
    since = former.changed_at if former else 0.0
    if state and not any(since < version.at < record.changed_at for version in state.past):
        confirmed = max(confirmed, state.confirmed_at)  # else that was of a version between, which none answered from
    return Version(arrived, min(confirmed, arrived), record.keep)


def _same(records: Sequence[FeedRecord], former: Sequence[FeedRecord]) -> bool:
    """Whether nothing but the time of the last confirmation, and of reading, differs."""

    def lasting(record: FeedRecord) -> FeedRecord:
        return replace(record, fetched_at=0.0, section=replace(record.section, inputs=""))

    return list(map(lasting, records)) == list(map(lasting, former))
