"""Going back to an earlier snapshot: a new generation with its sections, and a pin that refreshes respect.

The pin is set first, also while a refresh is under way: that one then publishes nothing. Were the process killed before
it publishes, refreshes stand still and the command can be given again; the other way round the next refresh would
quietly undo it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocklistd.errors import NoSnapshot, RefreshBusy, SnapshotCorrupt, StorageFailed, UsageError
from blocklistd.index.folder import manifests, published, snapshot_ids
from blocklistd.index.layout import SNAPSHOTS
from blocklistd.index.publish import is_whole, prepare_folders
from blocklistd.index.snapshot import Snapshot
from blocklistd.refresh.lock import refresh_lock
from blocklistd.refresh.publishing import publish_recorded
from blocklistd.state.database import Database
from blocklistd.state.pins import Pin, set_pin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from blocklistd.settings import Settings
    from blocklistd.state.audit import Actor


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What came of it. snapshot: in force now; published: whether that is a new one; notes: what else to know."""

    pin: Pin
    snapshot: str
    published: bool
    notes: tuple[str, ...] = ()


def roll_back(settings: Settings, wanted: str | None, reason: str, actor: Actor, now: float) -> RolledBack:
    """Make an earlier snapshot the one in force and pin it.

    wanted: the id of a kept snapshot, None for the one before that in force. Raises UsageError (no such snapshot),
    SnapshotCorrupt (it is damaged), NoSnapshot, RefreshBusy (it is pinned and not in force yet), StorageFailed.
    """
    data = settings.data
    with Snapshot.open_current(data) as current:
        target = current.id if wanted == current.id else _target(data, wanted, current)
    with Snapshot.open(data / SNAPSHOTS / target) as snapshot:
        _verify(data, snapshot)
        with Database.open(data) as database:
            pin = set_pin(database, target, reason, actor, now)
        try:
            with refresh_lock(data), Snapshot.open_current(data) as current:
                return _publish(settings, snapshot, current, pin, now)
        except RefreshBusy as error:
            raise RefreshBusy(
                f"{target} is pinned, so that what is under way publishes nothing, but it is not in force yet: give "
                f"the command again once that has ended. {error}"
            ) from None
        except OSError as error:
            raise StorageFailed(f"cannot write to {error.filename or data}: {error.strerror or error}") from error


def _publish(settings: Settings, target: Snapshot, current: Snapshot, pin: Pin, now: float) -> RolledBack:
    """Put the target in force, under the lock."""
    prepare_folders(settings.data)
    if target.id in {current.id, current.rolled_back_to}:
        return RolledBack(pin, current.id, published=False)
    done = publish_recorded(settings, target.sections, target.feeds, current, now, rolled_back_to=target.id)
    return RolledBack(pin, done.snapshot or current.id, published=True, notes=done.notes)


def _target(data: Path, wanted: str | None, current: Snapshot) -> str:
    """The id that is meant."""
    if wanted is not None:
        if wanted not in snapshot_ids(data):
            raise UsageError(f"no snapshot is called {wanted!r}: blocklistd rollback --list names those that are kept")
        return wanted
    kept = manifests(data)
    found = before(kept, current)
    if found is None:
        raise UsageError("there is no earlier snapshot to go back to")
    return found


def before(kept: Mapping[str, Mapping[str, Any]], current: Snapshot) -> str | None:
    """The snapshot before the one in force; of one that was gone back to, the one before that.

    What an operator went back to is a copy of an earlier one and no goal of its own.
    """
    origin = kept.get(current.rolled_back_to or "", {"generation": current.generation})
    earlier = [
        snapshot_id
        for snapshot_id, document in kept.items()
        if document["generation"] < origin["generation"] and not document.get("rolled_back_to")
    ]
    return earlier[0] if earlier else None


def _verify(data: Path, snapshot: Snapshot) -> None:
    """A snapshot that cannot answer every question is no place to go back to."""
    for record in snapshot.feeds:
        for reference in (record.section, record.seen):
            if reference is not None and not is_whole(data, reference):
                raise SnapshotCorrupt(f"snapshot {snapshot.id} is damaged: {reference.name} of {record.id}")


@dataclass(frozen=True, slots=True)
class KeptSnapshot:
    """One snapshot that can be gone back to. times are unix seconds; rolled_back_to: what it is a copy of."""

    id: str
    generation: int
    built_at: float
    feeds: int
    entries: int
    rolled_back_to: str | None
    in_force: bool


def kept_snapshots(data: Path) -> list[KeptSnapshot]:
    """All of them, the newest first. Raises NoSnapshot, StorageFailed."""
    current = published(data)
    found = [
        KeptSnapshot(
            id=snapshot_id,
            generation=document["generation"],
            built_at=float(document["built_at"]),
            feeds=len(document["feeds"]),
            entries=sum(feed["unique"] for feed in document["feeds"]),
            rolled_back_to=document.get("rolled_back_to"),
            in_force=snapshot_id == current,
        )
        for snapshot_id, document in manifests(data).items()
    ]
    if not found:
        raise NoSnapshot(f"{data} holds no snapshot yet: run blocklistd refresh, or name the folder that has one")
    return found
