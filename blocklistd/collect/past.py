"""What is remembered of the versions of a feed that went into force: the numbers a new one is judged by.

Takes and gives frozen values and rows of plain numbers for the feed's state file. Standard library only, because
workers that answer read states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_VERSIONS: Final = 30
"""So many are remembered, the newest ones."""


class Version(NamedTuple):
    """One version of a feed in numbers. Times are unix seconds, 0 where unknown."""

    at: float
    """When it went into force."""
    dated: float
    """The date the list itself bears."""
    unique: int
    """Distinct entries."""
    lines: int
    """Lines or records that were read as entries, duplicates and those below the minimum included."""
    rejected: int
    """Lines or records that should have been an entry and were none."""
    wide: int
    """Of these, how many were too wide to be taken."""
    v4: int
    """IPv4 addresses covered."""
    v6: int
    """IPv6 networks of /64 covered, in part or whole."""
    widest4: int
    """Addresses of the widest IPv4 entry."""
    widest6: int
    """Networks of /64 of the widest IPv6 entry."""
    public4: int
    """As v4, without special-use space."""
    public6: int
    """As v6, without special-use space."""

    @property
    def rejected_share(self) -> float:
        """Share of its lines that gave nothing, 0 to 1."""
        return self.rejected / max(1, self.rejected + self.lines)


@dataclass(frozen=True, slots=True)
class Past:
    """What stands beside a new version.

    versions: those in force before, oldest first; overlap: what it has in common with the last one, 0 to 1, None where
    that cannot be said; elapsed: seconds since the last one went into force; canaries: addresses that no list of risk
    should hold, in words, as far as the new version holds them and the last did not.
    """

    versions: tuple[Version, ...] = ()
    overlap: float | None = None
    elapsed: float = 0.0
    canaries: tuple[str, ...] = ()

    @property
    def last(self) -> Version:
        """The version in force; only where there is one."""
        return self.versions[-1]

    def usual(self, column: str) -> float:
        """The (lower) median of a column or property over all versions."""
        values = sorted(float(getattr(version, column)) for version in self.versions)
        return values[(len(values) - 1) // 2]

    def most(self, column: str) -> int:
        """The largest value of a column over all versions."""
        return max(int(getattr(version, column)) for version in self.versions)


def remember(versions: tuple[Version, ...], version: Version) -> tuple[Version, ...]:
    """The past after this version went into force."""
    return (*versions, version)[-MOST_VERSIONS:]


def encode_past(versions: tuple[Version, ...]) -> list[list[float]]:
    """As rows for JSON."""
    return [list(version) for version in versions]


def decode_past(rows: object) -> tuple[Version, ...]:
    """From JSON. Raises ValueError where that is not what ``encode_past`` gave."""
    if not isinstance(rows, list) or len(rows) > MOST_VERSIONS:
        raise ValueError("no past")
    return tuple(Version._make(_numbers(row)) for row in rows)


def _numbers(row: object) -> Iterator[float]:
    if not isinstance(row, list) or len(row) != len(Version._fields):
        raise ValueError("no version")
    for value in row:
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value) or value < 0:
            raise ValueError("no number of a version")
        yield value
