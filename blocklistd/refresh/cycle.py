"""The whole pass: every enabled feed is brought in, all are compiled, a snapshot is published.

    lock ─ sweep ─ feeds at once (fetch ─ parse ─ vet ─ keep) ─ compile and publish ─ retain

A feed that fails keeps its last good entries. Nothing is published where nothing changed or a snapshot is pinned, and a
pass that is killed at any moment leaves the old snapshot in force and is made up for by the next one.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from blocklistd.catalogue.feed import BOGONS
from blocklistd.collect import pace
from blocklistd.collect.fetch import Fetcher
from blocklistd.collect.state import FeedState, read_states
from blocklistd.collect.store import sweep
from blocklistd.errors import NoSnapshot, SnapshotCorrupt, StorageFailed, UsageError
from blocklistd.files import write_atomically
from blocklistd.index.publish import prepare_folders, retain
from blocklistd.index.snapshot import Snapshot
from blocklistd.refresh.canaries import own_canaries, read_canaries
from blocklistd.refresh.decisions import Decisions
from blocklistd.refresh.feeds import Brought, Listener, Pass
from blocklistd.refresh.lanes import Lanes
from blocklistd.refresh.lock import refresh_lock
from blocklistd.refresh.publishing import Published, compile_and_publish, pin_of
from blocklistd.refresh.report import RefreshReport
from blocklistd.reputation.host import look, record_host

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from blocklistd.catalogue import Catalogue, Feed
    from blocklistd.index.record import FeedRecord
    from blocklistd.refresh.measure import Canary
    from blocklistd.settings import Settings

SECRET_SIZE: Final = 32
_IDENTIFIER = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
AT_ONCE: Final = 16
"""So many feeds are under way together, fetching, waiting for a host, or parsing."""
FETCH_SHARE: Final = 0.8
"""Of the refresh deadline, so much may pass before feeds still under way are given up for this turn."""


async def refresh(
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    *,
    names: Collection[str] = (),
    force: bool = False,
    canaries: tuple[Canary, ...] | None = None,
    clock: Callable[[], float] = time.time,
) -> RefreshReport:
    """Make one pass over the data folder of the settings.

    names: ask only these feeds, and now; force: ask all now. Neither overrides a floor. canaries: what no list of risk
    should name, None for public resolvers and the addresses of this host. clock: the time of day. Raises RefreshBusy,
    StorageFailed, UsageError (an unknown feed, or none enabled).
    """
    feeds = catalogue.enabled(settings.use)
    if unknown := set(names) - {feed.id for feed in feeds}:
        raise UsageError(f"no feed that is on is called {', '.join(sorted(unknown))}: blocklistd feeds --all names all")
    if not feeds:
        raise UsageError("no feed of the catalogue is enabled")
    with refresh_lock(settings.data):
        try:
            host = look()
            record_host(settings.data, host)
            watched = (*read_canaries(), *own_canaries(host.described())) if canaries is None else canaries
            return await _refresh(catalogue, settings, listener, names, force or bool(names), watched, clock)
        except OSError as error:
            raise StorageFailed(
                f"cannot write to {error.filename or settings.data}: {error.strerror or error}"
            ) from error


async def _refresh(
    catalogue: Catalogue,
    settings: Settings,
    listener: Listener,
    names: Collection[str],
    force: bool,
    canaries: tuple[Canary, ...],
    clock: Callable[[], float],
) -> RefreshReport:
    started = clock()
    feeds = catalogue.enabled(settings.use)
    prepare_folders(settings.data)
    sweep(settings.data, _worth_keeping(catalogue, feeds, settings.data, started))
    former = _former(settings.data)
    listener.begin(feeds, _count_due(feeds, settings, names, force, started), first=former is None)
    brought = await _bring_all(feeds, settings, listener, former, names, force, canaries, clock)
    records = [item.record for item in brought if item.record is not None]
    brought = [_with_note(item, feed, records) for item, feed in zip(brought, feeds, strict=True)]
    outcome = Published()
    error = None
    pin = pin_of(settings.data, former)
    if pin is not None and former is not None:
        outcome = Published(notes=(f"nothing was published: {pin.sentence}",))
    elif records:
        if former is None or [record.section.name for record in records] != [r.section.name for r in former.feeds]:
            listener.compiling(len(records))
        outcome = compile_and_publish(settings, feeds, records, read_states(settings.data), former, clock())
    else:
        error = "no feed could be brought in, so there is nothing to answer from"
    retain(settings.data, keep=settings.keep_snapshots, budget=settings.keep_bytes)
    results = tuple(item.result for item in brought)
    in_force = outcome.snapshot or (former.id if former else None)
    return RefreshReport(started, clock(), in_force, outcome.snapshot is not None, results, error, outcome.notes)


async def _bring_all(
    feeds: Sequence[Feed],
    settings: Settings,
    listener: Listener,
    former: Snapshot | None,
    names: Collection[str],
    force: bool,
    canaries: tuple[Canary, ...],
    clock: Callable[[], float],
) -> list[Brought]:
    """All feeds at once; the first failure of the disk ends the pass, any other stays with its feed."""
    limit = asyncio.get_running_loop().time() + FETCH_SHARE * settings.refresh_deadline
    try:
        async with (
            Lanes(settings.parse_deadline) as lanes,
            Fetcher(settings.data, mirror=settings.mirror, progress=listener.feed_progress) as fetcher,
        ):
            one = Pass(
                data=settings.data,
                fetcher=fetcher,
                lanes=lanes,
                former={record.id: record for record in former.feeds} if former else {},
                secret=_secret(settings.data),
                mirror=settings.mirror,
                force=force,
                listener=listener,
                decisions=Decisions(settings.data),
                canaries=canaries,
                turns=asyncio.Semaphore(AT_ONCE),
                clock=clock,
            )
            async with asyncio.TaskGroup() as together:
                tasks = [
                    together.create_task(
                        one.bring(feed, ask=not names or feed.id in names, limit=limit),
                    )
                    for feed in feeds
                ]
    except ExceptionGroup as group:  # any other trouble than the disk's stays with its feed, so the first tells all
        first: Exception = group
        while isinstance(first, ExceptionGroup):
            first = first.exceptions[0]
        raise first from group
    return [task.result() for task in tasks]


def _count_due(feeds: Sequence[Feed], settings: Settings, names: Collection[str], force: bool, now: float) -> int:
    asked = [feed for feed in feeds if not names or feed.id in names]
    states = read_states(settings.data)
    return sum(
        pace.due(feed, states.get(feed.id, FeedState(feed.id)), now, force=force, mirror=settings.mirror) is None
        for feed in asked
    )


def _worth_keeping(catalogue: Catalogue, enabled: Collection[Feed], data: Path, now: float) -> list[str]:
    """Feeds whose bodies stay: those that are on, and for a while those that are off, should they be wanted again."""
    states = read_states(data)
    return [
        feed.id
        for feed in catalogue.feeds
        if feed in enabled or (feed.id in states and now - states[feed.id].succeeded_at < feed.drop_after)
    ]


def _with_note(item: Brought, feed: Feed, records: Collection[FeedRecord]) -> Brought:
    """Say so where a feed that is to be taken out of this one has brought nothing yet."""
    present = {record.id for record in records}
    missing = [name for name in feed.exclude if _IDENTIFIER.fullmatch(name) and name not in {BOGONS, *present}]
    if not missing or item.record is None:
        return item
    note = f"nothing was excluded for {', '.join(missing)}, which has no entries"
    reason = "; ".join(filter(None, (item.result.reason, note)))
    return replace(item, result=replace(item.result, reason=reason))


def _former(data: Path) -> Snapshot | None:
    try:
        return Snapshot.open_current(data)
    except (NoSnapshot, SnapshotCorrupt):
        return None


def _secret(data: Path) -> bytes:
    """The key of mail digests, made on first use and never changed."""
    path = data / "secret"
    if not path.exists():
        write_atomically(path, os.urandom(SECRET_SIZE), mode=0o640)
    return path.read_bytes()
