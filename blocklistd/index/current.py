"""The one mutable cell of a process that answers: which snapshot is the current one.

``poll`` looks whether the pointer file moved, maps the new snapshot and switches. Readers take ``snapshot`` once a
question and use that object to the end; the old one is unmapped when its last reader lets go of it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from blocklistd.errors import NoSnapshot, SnapshotCorrupt, StorageFailed
from blocklistd.index.folder import published
from blocklistd.index.layout import CURRENT
from blocklistd.index.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RETRY: Final = 5.0


class CurrentSnapshot:
    """Follows ``<data>/current``.

    snapshot: the snapshot to answer from, None before there is one.
    problem: why the published snapshot could not be used, empty if it could.
    """

    def __init__(self, data: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.data = data
        self.snapshot: Snapshot | None = None
        self.problem = ""
        self._clock = clock
        self._seen: tuple[int, int, int] | None = None
        self._tried = 0.0

    def poll(self) -> bool:
        """Switch to the published snapshot if it is another one; True if switched. Never raises.

        A snapshot that could not be opened is tried again every ``RETRY`` seconds: the trouble may have passed.
        """
        seen = self._look()
        if seen == self._seen and not (self.problem and self._clock() - self._tried >= RETRY):
            return False
        self._seen, self._tried = seen, self._clock()
        try:
            aimed = published(self.data)
            if self.snapshot is not None and aimed == self.snapshot.id:
                self.problem = ""
                return False
            opened = Snapshot.open_current(self.data)
        except NoSnapshot:
            self.problem = "" if self.snapshot is None else "the data folder holds no snapshot any more"
            return False
        except (SnapshotCorrupt, StorageFailed) as error:
            self.problem = str(error)
            return False
        self.problem = opened.problem
        if self.snapshot is not None and self.snapshot.generation >= opened.generation and self.problem:
            opened.close()
            return False
        switched = self.snapshot is None or self.snapshot.id != opened.id
        self.snapshot = opened
        return switched

    def _look(self) -> tuple[int, int, int]:
        try:
            status = (self.data / CURRENT).stat()
        except OSError:
            return 0, 0, 0
        return status.st_ino, status.st_mtime_ns, status.st_size
