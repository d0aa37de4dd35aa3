"""The one mutable cell of a process that answers: which snapshot is the current one.

``poll`` looks whether the pointer file moved, maps the new snapshot and switches. Readers take ``snapshot`` once a
question and use that object to the end; the old one is unmapped when its last reader lets go of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklistd.errors import NoSnapshot, SnapshotCorrupt
from blocklistd.index.layout import CURRENT
from blocklistd.index.snapshot import Snapshot, published

if TYPE_CHECKING:
    from pathlib import Path


class CurrentSnapshot:
    """Follows ``<data>/current``.

    snapshot: the snapshot to answer from, None before there is one.
    problem: why the published snapshot could not be used, empty if it could.
    """

    def __init__(self, data: Path) -> None:
        self.data = data
        self.snapshot: Snapshot | None = None
        self.problem = ""
        self._seen: tuple[int, int, int] | None = None

    def poll(self) -> bool:
        """Switch to the published snapshot if it is another one; True if switched. Never raises."""
        try:
            status = (self.data / CURRENT).stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        except OSError:
            seen = (0, 0, 0)
        if seen == self._seen:
            return False
        self._seen = seen
        if self.snapshot is not None and published(self.data) in {self.snapshot.id, None}:
            return False
        try:
            opened = Snapshot.open_current(self.data)
        except NoSnapshot:
            self.problem = ""
            return False
        except SnapshotCorrupt as error:
            self.problem = str(error)
            return False
        name = published(self.data)
        self.problem = "" if opened.id == name else f"snapshot {name} is damaged, {opened.id} is used instead"
        if self.snapshot is not None and self.snapshot.id == opened.id:
            return False
        self.snapshot = opened
        return True
