"""Writing ``history.db``: the differences between the snapshot in force and the one that is about to be published.

Only the holder of the refresh lock may call ``record``. All of a pass is one transaction, committed before the
snapshot is published: a pass that is killed in between leaves events of a generation that readers do not look at and
the next pass deletes. The first snapshot is a baseline and costs nothing; so is a feed's first appearance.

Where the chain is broken (the file was lost, damaged, or a pass could not write it), it is mended from the snapshot
that was recorded last, should that still be kept; else the history begins anew.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blocklistd.errors import SnapshotCorrupt, StorageFailed
from blocklistd.files import database_uri
from blocklistd.index.blocks import blocks4, blocks6
from blocklistd.index.folder import manifests
from blocklistd.index.history import BUSY, CODES, FILE, SCHEMA, reported
from blocklistd.index.layout import SNAPSHOTS
from blocklistd.index.snapshot import Snapshot
from blocklistd.index.stretches import differences, no_stretches
from blocklistd.index.times import FeedTimes, each_stretches

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blocklistd.index.stretches import Changes

DAY: Final = 86_400
MODE: Final = 0o640
SLACK: Final = 0.8
"""Where the budget is exceeded, the oldest events go until so much of it is in use."""

TABLES: Final = """
    CREATE TABLE generations (generation INTEGER PRIMARY KEY, at REAL NOT NULL, events INTEGER NOT NULL);
    CREATE TABLE feeds (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, since INTEGER NOT NULL);
    CREATE TABLE events4 (
        block INTEGER NOT NULL, feed INTEGER NOT NULL, change INTEGER NOT NULL, PRIMARY KEY (block, feed, change)
    ) WITHOUT ROWID;
    CREATE TABLE events6 (
        block BLOB NOT NULL, feed INTEGER NOT NULL, change INTEGER NOT NULL, PRIMARY KEY (block, feed, change)
    ) WITHOUT ROWID;
"""
"""block: length and network, see ``history.key_of``; change: ``generation * CODES + code``. Few columns: inserting them
is most of what recording takes."""

TOGETHER: Final = 32
"""Rows that one statement inserts: calling SQLite for each row alone takes nearly twice as long."""
CHUNK: Final = 2_048 * TOGETHER
"""Rows that are Python objects at one time."""
AT_ONCE: Final = 32
"""Feeds whose stretches are in memory at one time; each time the segments are looked through."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the past is kept: so many days, within so many bytes of disk."""

    days: int
    budget: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of it. events: how many blocks changed; note: what the operator should know, empty if nothing."""

    events: int = 0
    note: str = ""


def record(data: Path, before: Snapshot | None, after: Snapshot, now: float, retention: Retention) -> Recorded:
    """Record what changes from ``before``, the snapshot in force, to ``after``, which is not yet published.

    Never raises for the sake of the history alone: its trouble is told in ``note``.
    """
    notes: list[str] = []
    try:
        try:
            return _record(data, before, after, now, retention, notes)
        except StorageFailed as error:
            if not _is_damage(error.__cause__):
                raise
            notes.append(_set_aside(data, error.__cause__, now))
        return _record(data, before, after, now, retention, notes)
    except (StorageFailed, SnapshotCorrupt, OSError) as error:
        notes.append(f"the history of this snapshot could not be recorded: {error}")
    return Recorded(note="; ".join(notes))


def _record(
    data: Path, before: Snapshot | None, after: Snapshot, now: float, retention: Retention, notes: list[str]
) -> Recorded:
    connection = _open(data)
    try:
        with reported():
            connection.execute("BEGIN IMMEDIATE")
            try:
                events = _write(data, connection, before, after, now)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            _prune(connection, now, retention)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return Recorded(events, "; ".join(notes))


def _open(data: Path) -> sqlite3.Connection:
    path = data / FILE
    with reported():
        if not path.exists():
            _create(path)
        connection = sqlite3.connect(database_uri(path, "mode=rw"), uri=True, timeout=BUSY, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA cache_size = -65536")
            _lay_out(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _create(path: Path) -> None:
    """An empty file that belongs to whoever owns the data folder: root must not lock the daemon out."""
    path.touch(MODE)
    folder = path.parent.stat()
    if os.geteuid() == 0 and folder.st_uid != 0:
        os.chown(path, folder.st_uid, folder.st_gid)


def _lay_out(connection: sqlite3.Connection) -> None:
    schema = connection.execute("PRAGMA user_version").fetchone()[0]
    if schema < SCHEMA:  # what an older layout remembers is not carried over
        old = " ".join(f"DROP TABLE IF EXISTS {name};" for name in ("generations", "feeds", "events4", "events6"))
        connection.executescript(f"BEGIN; {old} {TABLES} PRAGMA user_version = {SCHEMA}; COMMIT")
    elif schema > SCHEMA:
        raise StorageFailed(
            f"{FILE} was written by a newer blocklistd (schema {schema}, this one knows {SCHEMA}): upgrade, "
            "or move the file away and the history begins anew"
        )


def _is_damage(error: BaseException | None) -> bool:
    """Whether the file is to blame, not the moment (disk full, no permission, busy)."""
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)


def _set_aside(data: Path, error: BaseException | None, now: float) -> str:
    """Move a damaged file out of the way; give the sentence that tells of it."""
    aside = data / f"{FILE}.damaged-{int(now)}"
    for old in data.glob(f"{FILE}.damaged-*"):  # one is enough to look into
        old.unlink(missing_ok=True)
    (data / FILE).replace(aside)
    for suffix in ("-wal", "-shm"):
        (data / f"{FILE}{suffix}").unlink(missing_ok=True)
    return f"{FILE} is damaged ({error}) and was moved to {aside.name}; the history begins anew"


def _write(data: Path, connection: sqlite3.Connection, before: Snapshot | None, after: Snapshot, now: float) -> int:
    last = before.generation if before is not None else -1
    _forget_later(connection, last)
    recorded = connection.execute("SELECT max(generation) FROM generations").fetchone()[0]
    base = before
    if recorded is not None and recorded != last:
        base = _kept_snapshot(data, recorded)
    if recorded is None or base is None:
        _begin_anew(connection, before)
        base = before
    try:
        events = _write_differences(connection, base, after)
    finally:
        if base is not None and base is not before:
            base.close()
    connection.execute("INSERT INTO generations VALUES (?, ?, ?)", (after.generation, now, events))
    return events


def _forget_later(connection: sqlite3.Connection, last: int) -> None:
    """Delete what was recorded for snapshots that were never published."""
    if connection.execute("SELECT 1 FROM generations WHERE generation > ?", (last,)).fetchone() is None:
        return
    for table in ("events4", "events6"):
        connection.execute(f"DELETE FROM {table} WHERE change >= ?", ((last + 1) * CODES,))  # noqa: S608  names of ours
    connection.execute("DELETE FROM generations WHERE generation > ?", (last,))
    connection.execute("DELETE FROM feeds WHERE since > ?", (last,))


def _kept_snapshot(data: Path, generation: int) -> Snapshot | None:
    """The snapshot of a generation, None where it is no longer kept."""
    for snapshot_id, document in manifests(data).items():
        if document["generation"] == generation:
            with suppress(SnapshotCorrupt):
                return Snapshot.open(data / SNAPSHOTS / snapshot_id)
    return None


def _begin_anew(connection: sqlite3.Connection, base: Snapshot | None) -> None:
    for table in ("events4", "events6", "generations", "feeds"):
        connection.execute(f"DELETE FROM {table}")  # noqa: S608  names of ours
    if base is not None:
        connection.execute("INSERT INTO generations VALUES (?, ?, 0)", (base.generation, base.built_at))
        rows = [(record.id, base.generation) for record in base.feeds]
        connection.executemany("INSERT INTO feeds (name, since) VALUES (?, ?)", rows)


def _write_differences(connection: sqlite3.Connection, before: Snapshot | None, after: Snapshot) -> int:
    numbers = dict(connection.execute("SELECT name, id FROM feeds").fetchall())
    new = [(record.id, after.generation) for record in after.feeds if record.id not in numbers]
    connection.executemany("INSERT INTO feeds (name, since) VALUES (?, ?)", new)
    changes = _changes(numbers, before, after)
    four, six = blocks4(changes[4], after.generation), blocks6(changes[6], after.generation)
    whole = len(four) - len(four) % TOGETHER
    together = ", ".join(["(?, ?, ?)"] * TOGETHER)
    for begin in range(0, whole, CHUNK):
        rows = four[begin : min(begin + CHUNK, whole)].reshape(-1, 3 * TOGETHER)
        connection.executemany(f"INSERT INTO events4 VALUES {together}", rows.tolist())  # noqa: S608  question marks
    connection.executemany("INSERT INTO events4 VALUES (?, ?, ?)", four[whole:].tolist())
    connection.executemany("INSERT INTO events6 VALUES (?, ?, ?)", six)
    return len(four) + len(six)


def _changes(numbers: Mapping[str, int], before: Snapshot | None, after: Snapshot) -> dict[int, dict[int, Changes]]:
    """By family and number of the feed, for every feed that was known before and is not the same."""
    was = {record.id: record for record in before.feeds} if before is not None else {}
    now = {record.id: record for record in after.feeds}
    changed = []
    for name, number in numbers.items():
        old, new = was.get(name), now.get(name)
        if old is None or new is None or not old.covers == new.covers != "" or old.seen != new.seen:
            changed.append((number, old, new))
    changes: dict[int, dict[int, Changes]] = {4: {}, 6: {}}
    for begin in range(0, len(changed), AT_ONCE):
        some = changed[begin : begin + AT_ONCE]
        earlier = {number: FeedTimes(before, old) for number, old, _ in some if before is not None and old is not None}
        later = {number: FeedTimes(after, new) for number, _, new in some if new is not None}
        for family, found in changes.items():
            one, other = (
                dict(zip(times, each_stretches(list(times.values()), family), strict=True))
                for times in (earlier, later)
            )
            nothing = no_stretches(family)
            for number, *_ in some:
                old_stretches, new_stretches = one.get(number, nothing), other.get(number, nothing)
                if len(old_stretches) or len(new_stretches):
                    found[number] = differences(old_stretches, new_stretches)
    return changes


def _prune(connection: sqlite3.Connection, now: float, retention: Retention) -> None:
    """Forget what is older than is kept: by age once a day, by disk as soon as the budget is exceeded."""
    rows = connection.execute("SELECT generation, at, events FROM generations ORDER BY generation").fetchall()
    base = rows[0][0]
    aged = [generation for generation, at, _ in rows if at <= now - retention.days * DAY]
    if aged and rows[0][1] < now - (retention.days + 1) * DAY:
        base = aged[-1]
    used = _used(connection)
    if used > retention.budget:
        total = sum(events for _, _, events in rows) or 1
        surplus = total * (1 - SLACK * retention.budget / used)
        for generation, _, events in rows:
            if surplus <= 0:
                break
            base = max(base, generation)
            surplus -= events
    if base == rows[0][0]:
        return
    connection.execute("BEGIN IMMEDIATE")
    for table in ("events4", "events6"):
        connection.execute(f"DELETE FROM {table} WHERE change < ?", ((base + 1) * CODES,))  # noqa: S608  names of ours
    connection.execute("DELETE FROM generations WHERE generation < ?", (base,))
    connection.execute("UPDATE generations SET events = 0 WHERE generation = ?", (base,))
    connection.execute("COMMIT")


def _used(connection: sqlite3.Connection) -> int:
    """Bytes in use; pages that are free are used again."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
