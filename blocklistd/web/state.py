"""A worker's view of ``state.db``: the overrides and keys in force, renewed when anybody changes them.

``changed`` is cheap enough to be asked several times a second (a stat and ``PRAGMA data_version``); ``load`` reads the
tables into new values and switches. Where the file is damaged, locked or gone, the values read before stay in force
and ``problem`` says why: an allow entry that vanished would block somebody, a deny entry would let somebody in.

Light: SQLite is not loaded before there is a file.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from blocklistd.errors import StorageFailed
from blocklistd.reputation.overrides import Overrides
from blocklistd.state import FILE
from blocklistd.state.keys import KeyRing, read_keys
from blocklistd.state.overrides import read_overrides
from blocklistd.state.pins import read_pin

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.state.database import Database
    from blocklistd.state.pins import Pin

RETRY: Final = 1.0
"""Seconds until trouble is looked at again."""


class CurrentState:
    """Follows ``<data>/state.db``; may be asked from several threads.

    overrides, keys: in force; keys are None until they could be read once, which is not the same as none. pin: the
    snapshot that an operator holds fast.
    problem: why the newest state is not in force, empty if it is. loads: how often new values came.
    """

    def __init__(self, data: Path) -> None:
        self.overrides = Overrides()
        self.keys: KeyRing | None = None
        self.pin: Pin | None = None
        self.problem = ""
        self.loads = 0
        self._data = data
        self._database: Database | None = None
        self._identity: tuple[int, ...] | None = None
        self._version = -1
        self._look_again = 0.0
        self._loading = threading.Lock()

    def changed(self) -> bool:
        """Whether ``load`` would find anything new; False while it is under way."""
        if not self._loading.acquire(blocking=False):
            return False
        try:
            return self._changed()
        finally:
            self._loading.release()

    def load(self) -> bool:
        """Read what there is and switch to it; True if that worked. Never raises for trouble with the file."""
        with self._loading:
            try:
                self._load()
            except StorageFailed as error:
                self._close()
                self.problem = str(error)
                self._look_again = time.monotonic() + RETRY
                return False
            self.problem = ""
            self.loads += 1
            return True

    def close(self) -> None:
        """Let go of the file; the values stay."""
        with self._loading:
            self._close()

    def _changed(self) -> bool:
        if self.problem:
            return time.monotonic() >= self._look_again
        try:
            if self.keys is None or self._identify() != self._identity:
                return True
            version = self._version if self._database is None else self._database.version
        except StorageFailed:
            return True
        return version != self._version

    def _load(self) -> None:
        if self._identify() != self._identity:
            self._close()  # before the next look: who closes last may tidy up
        identity = self._identify()
        if identity is None and self.loads and self._identity is not None:
            raise StorageFailed(f"{FILE} is gone; what was read before stays in force until there is a new one")
        if identity is not None and self._database is None:
            self._open()
        self._read()
        self._identity = identity

    def _open(self) -> None:
        from blocklistd.state.database import Database

        self._database = Database.open_existing(self._data)
        if self._database is not None:
            self._database.check()

    def _read(self) -> None:
        if self._database is None:
            self.overrides, self.keys, self.pin = Overrides(), KeyRing(), None
            return
        version = self._database.version  # before reading: a commit meanwhile is read again, never missed
        with self._database.reading():
            entries, keys = read_overrides(self._database, time.time()), read_keys(self._database)
            pin = read_pin(self._database)
        overrides = Overrides(entries)
        self.overrides, self.keys, self.pin, self._version = overrides, KeyRing(keys), pin, version

    def _identify(self) -> tuple[int, ...] | None:
        try:
            status = (self._data / FILE).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(f"{FILE} cannot be read: {(error.strerror or str(error)).lower()}") from error
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
