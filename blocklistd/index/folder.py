"""Which snapshots a data folder holds, and which of them is the published one.

Bad bytes and missing files are what readers have to live with; trouble of the system (no permission, too many open
files, a failing disk) is StorageFailed, so that nobody takes a passing fault for a damaged or missing snapshot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blocklistd.errors import SnapshotCorrupt, StorageFailed
from blocklistd.files import read_regular, write_atomically
from blocklistd.index.layout import CURRENT, SNAPSHOT_ID, SNAPSHOTS, read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def published(data: Path) -> str | None:
    """The id that ``current`` names; None if there is none or the pointer is damaged. Raises StorageFailed."""
    try:
        name = read_regular(data / CURRENT, 64).decode("ascii", "replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StorageFailed(f"cannot read {data / CURRENT}: {error.strerror or error}") from error
    return name if SNAPSHOT_ID.fullmatch(name) else None


def point_to(data: Path, snapshot_id: str) -> None:
    """Make a snapshot the published one. Raises OSError."""
    write_atomically(data / CURRENT, f"{snapshot_id}\n".encode())


def snapshot_ids(data: Path) -> list[str]:
    """All snapshots by name, which is by clock, the latest first. Raises StorageFailed."""
    try:
        return sorted(
            (path.name for path in (data / SNAPSHOTS).iterdir() if SNAPSHOT_ID.fullmatch(path.name)), reverse=True
        )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageFailed(f"cannot read {data / SNAPSHOTS}: {error.strerror or error}") from error


def manifests(data: Path) -> dict[str, dict[str, Any]]:
    """Every sound manifest by id, the highest generation first: clocks go wrong, generations do not.

    Raises StorageFailed.
    """
    found: dict[str, dict[str, Any]] = {}
    for snapshot_id in snapshot_ids(data):
        try:
            document = read_manifest(data / SNAPSHOTS / snapshot_id)
        except SnapshotCorrupt:
            continue
        if isinstance(document.get("generation"), int):
            found[snapshot_id] = document
    return dict(sorted(found.items(), key=lambda item: item[1]["generation"], reverse=True))


def candidates(data: Path) -> Iterator[str]:
    """Ids to try in turn: the published one, then the others, the newest first. Raises StorageFailed."""
    current = published(data)
    if current is not None and (data / SNAPSHOTS / current).exists():
        yield current
    yield from (snapshot_id for snapshot_id in manifests(data) if snapshot_id != current)
