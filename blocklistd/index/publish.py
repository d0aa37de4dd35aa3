"""Writing snapshots: sections aside, then the manifest, then the pointer; and clearing up after older ones.

A reader sees the old snapshot or the new one, never half of either; a power cut leaves one of them. Only the holder
of the refresh lock may call these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from blocklistd.errors import SnapshotCorrupt
from blocklistd.files import remove_temporaries, sync_directory, sync_file, write_atomically
from blocklistd.index.folder import manifests, point_to, published, snapshot_ids
from blocklistd.index.layout import (
    FORMAT,
    SECTION_NAME,
    SECTIONS,
    SNAPSHOTS,
    EncodedSection,
    Section,
    SectionReference,
    encode_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from blocklistd.index.record import FeedRecord

READ_ONLY: Final = 0o444


def prepare_folders(data: Path) -> None:
    """Make the folders of snapshots and remove what killed writers left."""
    for folder in (data, data / SECTIONS, data / SNAPSHOTS):
        folder.mkdir(parents=True, exist_ok=True)
        remove_temporaries(folder)


def write_section(data: Path, section: EncodedSection) -> SectionReference:
    """Store a section under its name unless the same bytes are already there.

    It survives a crash of the program; a power cut only once ``publish`` has synced what its manifest names.
    """
    path = data / SECTIONS / section.reference.name
    if not is_whole(data, section.reference):
        write_atomically(path, *section.content, mode=READ_ONLY, durable=False)
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
    settled: Collection[str] = (),
    rolled_back_to: str | None = None,
) -> str:
    """Write the manifest of already stored sections and make it the current snapshot; give its id.

    rolled_back_to: the earlier snapshot whose sections these are, where an operator went back to it.

    Every section is synced to disk before the manifest names it, but for those ``settled``: names of sections that a
    published manifest already names. Syncing all at once costs half of what syncing one after the other does.
    """
    document = manifest_of(generation=generation, built_at=built_at, sections=sections, feeds=feeds)
    if rolled_back_to is not None:
        document["rolled_back_to"] = rolled_back_to
    snapshot_id, content = encode_manifest(document, built_at)
    sync_sections(data, {name for name, _ in _sections_of(document)}.difference(settled))
    write_atomically(data / SNAPSHOTS / snapshot_id, content, mode=READ_ONLY)
    point_to(data, snapshot_id)
    return snapshot_id


def manifest_of(
    *,
    generation: int,
    built_at: float,
    sections: Mapping[str, SectionReference],
    feeds: Sequence[FeedRecord],
) -> dict[str, Any]:
    """What the manifest of a snapshot says."""
    return {
        "format": FORMAT,
        "generation": generation,
        "built_at": built_at,
        "sections": {role: _row(reference) for role, reference in sections.items()},
        "feeds": [record.as_document() for record in feeds],
    }


def section_names(sections: Mapping[str, SectionReference], feeds: Sequence[FeedRecord]) -> set[str]:
    """The names of all sections that a manifest of these would name."""
    document = manifest_of(generation=0, built_at=0.0, sections=sections, feeds=feeds)
    return {name for name, _ in _sections_of(document)}


def sync_sections(data: Path, names: Iterable[str]) -> None:
    """Make stored sections survive a power cut."""
    for name in names:
        sync_file(data / SECTIONS / name)
    sync_directory(data / SECTIONS)


def _row(reference: SectionReference) -> dict[str, Any]:
    return {
        "name": reference.name,
        "size": reference.size,
        "checksum": reference.checksum,
        "inputs": reference.inputs,
    }


def retain(data: Path, *, keep: int, budget: int) -> int:
    """Keep the current snapshot and the newest others, at most ``keep`` and within ``budget`` bytes of disk.

    What the current one is a copy of, after going back, stays beside it: it tells which others are earlier. Deletes the
    rest and every section that no kept snapshot names. Gives how many snapshots stay. Raises StorageFailed, before
    anything is deleted.
    """
    current = published(data)
    sound = manifests(data)
    copied = sound[current].get("rolled_back_to") if current in sound else None
    kept: list[str] = []
    named: dict[str, int] = {}
    for snapshot_id in sorted(sound, key=lambda name: (name != current, name != copied)):
        together = named | dict(_sections_of(sound[snapshot_id]))
        if kept and (len(kept) >= keep or sum(together.values()) > budget):
            continue
        kept.append(snapshot_id)
        named = together
    if not kept:
        return 0  # nothing sound to keep is no reason to delete
    for snapshot_id in snapshot_ids(data):
        if snapshot_id not in kept and snapshot_id != current:
            (data / SNAPSHOTS / snapshot_id).unlink(missing_ok=True)
    for path in (data / SECTIONS).iterdir():
        if SECTION_NAME.fullmatch(path.name) and path.name not in named:
            path.unlink(missing_ok=True)
    return len(kept)


def _sections_of(document: Mapping[str, Any]) -> Iterable[tuple[str, int]]:
    feeds = document["feeds"]
    seen = [feed["seen"] for feed in feeds if feed.get("seen") is not None]
    for row in (*document["sections"].values(), *(feed["section"] for feed in feeds), *seen):
        yield row["name"], row["size"]


def next_generation(data: Path) -> int:
    """One more than the highest generation in the folder."""
    return max((int(document["generation"]) for document in manifests(data).values()), default=0) + 1
