"""The decision log: one JSON line for each report, in ``DATA/decisions/YYYY-MM-DD.jsonl``, UTC.

Takes reports, gives nothing back: answers never wait for it. ``add`` makes the line; a thread writes the lines of a
second together. All workers append to the same file, each batch whole and under a lock. What cannot be written (full
disk, no room within ``max_bytes``, too many waiting) is counted and said once in the log; writing goes on as soon as
it can. Days older than ``retention`` are removed, and the oldest where all are larger than ``max_bytes``.

Addresses are truncated to the /24 or /48 around them unless the policy wants them whole. Then nothing else in a line
tells the address either: of an override or suppression it says only that there was one.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import orjson

from blocklistd.addresses import format_address, parse_address
from blocklistd.units import counted, format_moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocklistd.reputation.policy.model import DecisionLogging
    from blocklistd.reputation.report import IpReport

logger = logging.getLogger(__name__)

FOLDER: Final = "decisions"
SUFFIX: Final = ".jsonl"
PAUSE: Final = 1.0
LOOK: Final = 3600.0
"""Seconds after which old days are looked for even where nothing is decided."""
PATIENCE: Final = 2.0
MOST_WAITING: Final = 50_000
"""Lines; more are lost rather than kept in memory."""

_LENGTH: Final = {4: 24, 6: 48}
_LENGTH_6TO4: Final = 16 + _LENGTH[4]
"""A /48 of 6to4 would hold the whole IPv4 address."""


def truncated(ip: str) -> str:
    """The /24 or /48 around an address, such as 192.0.2.0/24; of 6to4 (2002::/16) what holds such a /24, a /40."""
    family, value = parse_address(ip)
    length = _LENGTH_6TO4 if family == 6 and value >> 112 == 0x2002 else _LENGTH[family]
    left_out = (32 if family == 4 else 128) - length
    return f"{format_address(family, value >> left_out << left_out)}/{length}"


def line_of(report: IpReport, at: float, *, whole_addresses: bool) -> bytes:
    """One line without its end."""
    decision, decided_by = report.decision, report.decision.decided_by
    if not whole_addresses:  # the key of an override and the reason of a suppression may hold an address
        if report.override is not None:
            decided_by = "override"
        elif report.suppressed_by is not None:
            decided_by = "suppressed"
    return orjson.dumps(
        {
            "at": format_moment(at),
            "address": report.ip if whole_addresses else truncated(report.ip),
            "profile": decision.profile,
            "verdict": decision.verdict,
            "would": decision.would,
            "score": report.score,
            "listed_score": report.listed_score,
            "decided_by": decided_by,
            "feeds": [evidence.feed for evidence in report.listings],
        }
    )


class DecisionLog:
    """One process's way into the log; ``close`` it, or the lines of the last second are lost.

    ``lose`` is told how many lines were lost, from whichever thread notices, never from two at once.
    """

    _losing = threading.Lock()

    def __init__(
        self,
        data: Path,
        settings: DecisionLogging,
        lose: Callable[[int], None],
        *,
        clock: Callable[[], float] = time.time,
        pause: float = PAUSE,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """clock: unix time; pause: seconds over which lines are gathered."""
        self.settings = settings
        self._folder = data / FOLDER
        self._lose, self._clock, self._pause, self._most = lose, clock, pause, most_waiting
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        self._waiting, self._closing = threading.Event(), threading.Event()
        self._trouble = ""
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="decision log", daemon=True)
        self._thread.start()

    def add(self, report: IpReport) -> None:
        """Log a report. Quick, and never fails."""
        line = line_of(report, self._clock(), whole_addresses=self.settings.whole_addresses)
        with self._lock:
            waiting = len(self._lines)
            if waiting < self._most:
                self._lines.append(line)
        if not waiting:
            self._waiting.set()
        elif waiting >= self._most:
            self._note_lost(1)

    def end(self) -> None:
        """Write what is waiting and end, in the background."""
        self._closing.set()
        self._waiting.set()

    def close(self) -> None:
        """The same, and wait for it; for a disk that hangs at most ``PATIENCE`` seconds."""
        self.end()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        """Write a batch a second; what goes wrong with one batch is no reason to stop."""
        closing = False
        while not closing:
            self._waiting.wait(LOOK)
            self._waiting.clear()
            closing = self._closing.wait(
                self._pause
            )  # before the lines are taken, so that none comes after the last look
            with self._lock:
                lines, self._lines = self._lines, []
            try:
                trouble = self._write(lines)
            except OSError as error:
                trouble = error.strerror or str(error)
            self._report(trouble, len(lines))

    def _write(self, lines: list[bytes]) -> str:
        """Append the lines to the file of today and remove what is old; why not, or empty. Raises OSError."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        today = f"{now:%Y-%m-%d}{SUFFIX}"
        oldest = f"{now - timedelta(seconds=self.settings.retention):%Y-%m-%d}{SUFFIX}"
        batch = b"".join(line + b"\n" for line in lines)
        if batch:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        room = self._make_room(today, oldest, len(batch))
        if not batch:
            return ""
        if not room:
            return "the file of today alone is as large as max_bytes allows"
        handle = os.open(self._folder / today, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            _append(handle, batch)
        finally:
            os.close(handle)
        return ""

    def _make_room(self, today: str, oldest: str, wanted: int) -> bool:
        """Remove days that are too old, and the oldest as long as all are too large; whether there is room then."""
        if not self._folder.is_dir():
            return True
        sizes = {}
        for path in self._folder.glob(f"*{SUFFIX}"):
            with suppress(FileNotFoundError):  # another worker may be quicker
                sizes[path.name] = path.stat().st_size
        total = sum(sizes.values()) + wanted
        for name in sorted(sizes):
            if name < today and (name < oldest or total > self.settings.max_bytes):
                (self._folder / name).unlink(missing_ok=True)
                total -= sizes[name]
        return total <= self.settings.max_bytes

    def _report(self, trouble: str, count: int) -> None:
        if trouble:
            self._note_lost(count)
            if not self._trouble:
                logger.error("decisions are answered but not logged: %s", trouble)
        elif self._trouble and count:
            logger.warning("decisions are logged again; %s lost", counted(self._lost, "line"))
            self._lost = 0
        if trouble or count:
            self._trouble = trouble

    def _note_lost(self, count: int) -> None:
        with self._losing:
            self._lost += count
            self._lose(count)


def _append(handle: int, batch: bytes) -> None:
    """Write the whole batch or, raising OSError, nothing of it. The caller holds the lock of the file."""
    before = os.fstat(handle).st_size
    rest = memoryview(batch)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError:
        os.ftruncate(handle, before)
        raise
