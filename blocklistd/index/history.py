"""What changed for an address, and when: reading ``history.db``.

Takes the family and value of an address and the generation of the snapshot that answers; gives its events, or which
feeds named it at an earlier time, by undoing events from the present backwards. Workers read this, so no numpy here;
``history_writer`` writes it. Stretches are stored as CIDR blocks: an address is found by one point query for each
prefix length in use.

    generation   7         8         9      the snapshot that answers
    feed a       ─ added ─────── removed ──  an event says what was before it and what after
    feed b         (baseline)               named since the first snapshot: no event
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from blocklistd.addresses import format_address
from blocklistd.errors import StorageFailed, UsageError
from blocklistd.files import database_uri, is_sealed
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FILE: Final = "history.db"
SCHEMA: Final = 2
BUSY: Final = 5.0
"""Seconds to wait for a writer; with WAL none ever holds up a reader for long."""

ABSENT: Final = 0
LISTED: Final = 1
KEPT: Final = 2
"""What a feed says of an address: nothing; it is on the list; it has left the list and still counts."""
STATES: Final = 3
"""An event's code is ``before * STATES + after``."""
CODES: Final = 16
"""An event's change is ``generation * CODES + code``: one number is stored faster than two, and sorts the same."""


class Event(NamedTuple):
    """One change. at: unix time of the snapshot that brought it; network: the part of the change around the address."""

    at: float
    generation: int
    feed: str
    network: str
    before: int
    after: int

    @property
    def name(self) -> str:
        """``added``, ``removed`` (it left the list) or ``expired`` (what was kept after that no longer counts)."""
        if self.after == LISTED:
            return "added"
        return "expired" if self.before == KEPT else "removed"

    @property
    def kept(self) -> bool:
        """Whether the entry left the list and still counts for a while."""
        return self.after == KEPT

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "at": format_moment(self.at),
            "event": self.name,
            "feed": self.feed,
            "network": self.network,
            "kept": self.kept,
            "generation": self.generation,
        }


class History:
    """An open ``history.db``, for reading. Use it in one thread at a time; ``with`` closes it."""

    def __init__(self, path: Path, generation: int) -> None:
        """generation: that of the snapshot that answers; what was recorded for later ones does not count yet.

        Raises StorageFailed.
        """
        self.generation = generation
        self._in_use: dict[int, list[int]] = {}
        with reported():
            self._connection = sqlite3.connect(
                database_uri(path, "immutable=1" if is_sealed(path) else "mode=ro"),
                uri=True,
                timeout=BUSY,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            with reported():
                self._connection.execute("BEGIN")  # all queries see one moment
                self._names: dict[int, tuple[str, int]] = {
                    number: (name, since)
                    for number, name, since in self._connection.execute("SELECT id, name, since FROM feeds")
                }
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def open(cls, data: Path, generation: int) -> Self:
        """The history of a data folder. Raises StorageFailed, also where there is none."""
        if not (data / FILE).exists():
            raise StorageFailed("nothing is known of the past yet: the next refresh begins to record it")
        return cls(data / FILE, generation)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def known_since(self) -> float | None:
        """The time from which on everything is known, None where nothing is known of this snapshot's past."""
        row = self._row("SELECT min(at), max(generation) FROM generations WHERE generation <= ?", self.generation)
        return None if row[0] is None or row[1] != self.generation else float(row[0])

    def events(self, family: int, value: int, limit: int) -> list[Event]:
        """What changed for an address, newest first, at most ``limit`` of it. Raises StorageFailed."""
        asked, parameters = self._asked(family, value)
        statement = (
            f"{asked} SELECT length, feed, generation, change, at FROM asked "  # noqa: S608  ints, question marks
            f"CROSS JOIN events{family} USING (block) JOIN generations ON generation = change / {CODES} "
            "WHERE change < ? ORDER BY generation DESC LIMIT ?"
        )
        found = []
        with reported():
            for length, feed, generation, change, at in self._connection.execute(
                statement, (*parameters, (self.generation + 1) * CODES, limit)
            ):
                network = f"{format_address(family, masked(family, value, length))}/{length}"
                found.append(Event(at, generation, self._names[feed][0], network, *divmod(change % CODES, STATES)))
        found.sort(key=lambda event: (-event.generation, event.feed))
        return found

    def generation_at(self, moment: float) -> int:
        """The generation of the snapshot that was in force at a time.

        Raises UsageError where that is not known, StorageFailed.
        """
        since = self.known_since()
        if since is None:
            raise UsageError("the past of this snapshot was not recorded: the next refresh mends the history")
        statement = "SELECT max(generation) FROM generations WHERE at <= ? AND generation <= ?"
        generation: int | None = self._row(statement, moment, self.generation)[0]
        if generation is None:
            raise UsageError(f"{format_moment(moment)} is too far back: the past is known since {format_moment(since)}")
        return generation

    def feeds_at(
        self, family: int, value: int, then: int, present: Sequence[str], catalogue: Sequence[str]
    ) -> tuple[str, ...]:
        """Which feeds named an address when ``then`` was the generation in force.

        present: those that name it in the snapshot that answers; catalogue: all feeds of that, in its order. Feeds that
        are no more come last. Raises StorageFailed.
        """
        asked, parameters = self._asked(family, value)
        statement = (
            f"{asked} SELECT feed, min(change) FROM asked "  # noqa: S608  an int, question marks
            f"CROSS JOIN events{family} USING (block) WHERE change >= ? AND change < ? GROUP BY feed"
        )
        bounds = (then + 1) * CODES, (self.generation + 1) * CODES
        with reported():
            rows = self._connection.execute(statement, (*parameters, *bounds)).fetchall()
        before = {self._names[feed][0]: change % CODES // STATES != ABSENT for feed, change in rows}
        later = {name for name, since in self._names.values() if since > then}
        named = {name for name, was in {**dict.fromkeys(present, True), **before}.items() if was} - later
        return tuple([name for name in catalogue if name in named] + sorted(named.difference(catalogue)))

    def _asked(self, family: int, value: int) -> tuple[str, tuple[int | bytes, ...]]:
        """The networks around an address that may be stored, as a table ``asked`` of a statement."""
        lengths = self._lengths(family)
        rows = ", ".join(["(?, ?)"] * len(lengths)) or "(-1, 0)"
        parameters = [part for length in lengths for part in (length, key_of(family, value, length))]
        return f"WITH asked (length, block) AS (VALUES {rows})", tuple(parameters)

    def _lengths(self, family: int) -> list[int]:
        """The prefix lengths that occur, each found by one look into the index."""
        if family not in self._in_use:
            found: list[int] = []
            statement = f"SELECT min(block) FROM events{family} WHERE block >= ?"  # noqa: S608  an int
            longer = 0
            while (block := self._row(statement, longer << 32 if family == 4 else bytes([longer]))[0]) is not None:
                found.append(block >> 32 if family == 4 else block[0])
                longer = found[-1] + 1
            self._in_use[family] = found
        return self._in_use[family]

    def _row(self, statement: str, *parameters: float | bytes) -> tuple[Any, ...]:
        with reported():
            row: tuple[Any, ...] = self._connection.execute(statement, parameters).fetchone()
            return row


def masked(family: int, value: int, length: int) -> int:
    """The first address of the network of that length around an address."""
    shift = (32 if family == 4 else 128) - length
    return value >> shift << shift


def key_of(family: int, value: int, length: int) -> int | bytes:
    """How the network of that length around an address is stored: the length, then its first address."""
    first = masked(family, value, length)
    return length << 32 | first if family == 4 else bytes([length]) + first.to_bytes(16)


@contextmanager
def reported() -> Iterator[None]:
    """Turn SQLite's errors into StorageFailed."""
    try:
        yield
    except sqlite3.Error as error:
        raise StorageFailed(f"{FILE} cannot be used ({error}); answers do not depend on it") from error
