"""Writing snapshots: sections aside, then the manifest, then the pointer; and clearing up after older ones.

A reader sees the old snapshot or the new one, never half of either; a power cut leaves one of them. Only the holder
of the refresh lock may call these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blocklistd.errors import SnapshotCorrupt
from blocklistd.files import remove_temporaries, sync_directory, write_atomically
from blocklistd.index.layout import (
    CURRENT,
    FORMAT,
    SECTION_NAME,
    SECTIONS,
    SNAPSHOT_ID,
    SNAPSHOTS,
    EncodedSection,
    Section,
    SectionReference,
    encode_manifest,
    read_manifest,
)
from blocklistd.index.snapshot import candidates, published

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from blocklistd.index.record import FeedRecord

READ_ONLY: Final = 0o444


def prepare_folders(data: Path) -> None:
    """Make the folders of snapshots and remove what killed writers left."""
    for folder in (data, data / SECTIONS, data / SNAPSHOTS):
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder)


def write_section(data: Path, section: EncodedSection) -> SectionReference:
    """Store a section under its name unless the same bytes are already there."""
    path = data / SECTIONS / section.reference.name
    if not is_whole(data, section.reference):
        write_atomically(path, section.content, mode=READ_ONLY)
    return section.reference


def is_whole(data: Path, reference: SectionReference) -> bool:
    """Whether the file of a section is there and undamaged."""
    try:
        Section(data / SECTIONS / reference.name, reference).close()
    except SnapshotCorrupt:
        return False
    return True


def publish(
    data: Path,
    *,
    generation: int,
    built_at: float,
    sections: Mapping[str, SectionReference],
    feeds: Sequence[FeedRecord],
) -> str:
    """Write the manifest of already stored sections and make it the current snapshot; give its id."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "generation": generation,
        "built_at": built_at,
        "sections": {role: _row(reference) for role, reference in sections.items()},
        "feeds": [record.as_document() for record in feeds],
    }
    snapshot_id, content = encode_manifest(document, built_at)
    sync_directory(data / SECTIONS)
    write_atomically(data / SNAPSHOTS / snapshot_id, content, mode=READ_ONLY)
    write_atomically(data / CURRENT, f"{snapshot_id}\n".encode())
    return snapshot_id


def _row(reference: SectionReference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "size": reference.size,
        "checksum": reference.checksum,
        "inputs": reference.inputs,
    }


def retain(data: Path, *, keep: int, budget: int) -> int:
    """Keep the current snapshot and the newest others, at most ``keep`` and within ``budget`` bytes of disk.

    Deletes the rest and every section that no kept snapshot names. Gives how many snapshots stay.
    """
    kept: list[str] = []
    named: dict[str, int] = {}
    for snapshot_id in candidates(data):
        try:
            sections = dict(_sections_of(read_manifest(data / SNAPSHOTS / snapshot_id)))
        except (SnapshotCorrupt, KeyError, TypeError):
            continue
        together = named | sections
        if kept and (len(kept) >= keep or sum(together.values()) > budget):
            continue
        kept.append(snapshot_id)
        named = together
    for path in (data / SNAPSHOTS).iterdir():
        if SNAPSHOT_ID.fullmatch(path.name) and path.name not in kept:
            path.unlink(missing_ok=True)
    for path in (data / SECTIONS).iterdir():
        if SECTION_NAME.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)
    return len(kept)


def _sections_of(document: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    for row in (*document["sections"].values(), *(feed["section"] for feed in document["feeds"])):
        yield row["name"], row["size"]


def next_generation(data: Path) -> int:
    """One more than the highest generation in the folder."""
    highest = 0
    for snapshot_id in candidates(data):
        try:
            highest = max(highest, int(read_manifest(data / SNAPSHOTS / snapshot_id)["generation"]))
        except (SnapshotCorrupt, KeyError, TypeError, ValueError):
            continue
    return highest + 1


__all__ = [
    "is_whole",
    "next_generation",
    "prepare_folders",
    "publish",
    "published",
    "retain",
    "write_section",
]
