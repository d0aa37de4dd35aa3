"""What the operator decided about bodies in quarantine, as far as a refresh asks.

Reads ``state.db``; where that cannot be read, nothing counts as decided: what is held stays held, and ``problem`` says
why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocklistd.errors import StorageFailed
from blocklistd.state.database import Database
from blocklistd.state.quarantine import Quarantined, decided

if TYPE_CHECKING:
    from pathlib import Path


class Decisions:
    """The decisions in the state of one data folder, each asked for when it is needed."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.problem = ""

    def on(self, feed: str, digest: str) -> Quarantined | None:
        """The decision about this very body, None where there is none."""
        try:
            database = Database.open_existing(self._data)
            if database is None:
                return None
            with database:
                return decided(database, feed, digest)
        except StorageFailed as error:
            self.problem = f"decisions about quarantined lists cannot be read: {error}"
            return None
