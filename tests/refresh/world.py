"""A data folder, a folder of lists, a catalogue over them, and a clock that the test sets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from blocklistd import Snapshot
from blocklistd.catalogue import read_catalogue
from blocklistd.cli.progress import Lines
from blocklistd.refresh.cycle import refresh
from blocklistd.settings import Settings, read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.refresh.report import RefreshReport

NOON = 1_764_590_400
"""2025-12-01T12:00:00Z"""
HOUR = 3_600


class TimedWorld:
    """Lists in local files, refreshed at whatever time ``now`` says."""

    def __init__(self, folder: Path) -> None:
        self.lists, self.data, self.log = folder / "lists", folder / "data", folder / "log"
        self.lists.mkdir()
        self.feeds: dict[str, str] = {}
        self.now = float(NOON)
        self.given: dict[str, str] = {}

    @property
    def settings(self) -> Settings:
        return read_settings({"data": str(self.data), **self.given}, {})

    def feed(self, feed_id: str, text: str, **fields: object) -> None:
        """Declare a feed over a local file with this text; ``gate: none``, because tests change lists wholesale."""
        (self.lists / feed_id).write_text(text)
        options = {"format": "lines", "category": "attacker", "gate": "none", "allow_empty": "true"} | fields
        rows = "".join(f"    {name}: {value}\n" for name, value in options.items() if value is not None)
        self.feeds[feed_id] = f"  - id: {feed_id}\n    url: file://{self.lists / feed_id}\n{rows}"

    def refresh(self, *, later: float = HOUR) -> RefreshReport:
        """Let time pass and make one pass."""
        self.now += later
        catalogue = read_catalogue("feeds:\n" + "".join(self.feeds.values()), "feeds.yaml")
        with self.log.open("a") as log, Lines(log) as listener:
            run = refresh(catalogue, self.settings, listener, force=True, canaries=(), clock=lambda: self.now)
            return asyncio.run(run)

    def feeds_of(self, ip: str) -> tuple[str, ...]:
        """Ask the published snapshot."""
        with Snapshot.open_current(self.data) as snapshot:
            return snapshot.lookup(ip).feeds
