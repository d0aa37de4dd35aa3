"""The sections of single feeds in one snapshot: opened and verified when a question first needs them, then kept.

A part of its own, so that who asks for them need not hold the snapshot: no cycle may keep a replaced snapshot mapped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklistd.index.layout import SECTIONS, Section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blocklistd.index.layout import SectionReference
    from blocklistd.index.record import FeedRecord


class FeedSections:
    """Entries and first and last seen, by feed. Raises KeyError (no such feed), SnapshotCorrupt."""

    def __init__(self, records: Mapping[str, FeedRecord], folder: Path) -> None:
        """folder: the data folder."""
        self._records, self._folder = records, folder
        self._entries: dict[str, Section] = {}
        self._seen: dict[str, Section] = {}

    def entries(self, feed_id: str) -> Section:
        """The entries of a feed as its list wrote them."""
        section = self._entries.get(feed_id)
        if section is None:
            section = self._entries[feed_id] = self._open(self._records[feed_id].section)
        return section

    def seen(self, feed_id: str) -> Section | None:
        """When they were first and last seen, None where the feed's record says it for all of them."""
        section, reference = self._seen.get(feed_id), self._records[feed_id].seen
        if section is None and reference is not None:
            section = self._seen[feed_id] = self._open(reference)
        return section

    def close(self) -> None:
        """Unmap all that were opened."""
        for section in (*self._entries.values(), *self._seen.values()):
            section.close()
        self._entries, self._seen = {}, {}

    def _open(self, reference: SectionReference) -> Section:
        return Section(self._folder / SECTIONS / reference.name, reference)
