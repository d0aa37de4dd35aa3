"""Who did what, when and from where: one row for each act of an operator.

Every function that changes ``state.db`` takes an ``Actor`` and writes the row in the same transaction as the change, so
there is neither a change without a row nor a row without a change. The newest ``MOST`` rows are kept.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blocklistd.units import format_moment

if TYPE_CHECKING:
    import sqlite3

    from blocklistd.state.database import Database

MOST: Final = 100_000
LONGEST: Final = 1000
"""Characters of a detail; the rest is cut off."""


class Actor(NamedTuple):
    """Who acts: the name of a key or of a login, and from where: ``command line``, ``http 192.0.2.1``."""

    name: str
    origin: str


class Act(NamedTuple):
    """One row; ``at`` is unix time, ``action`` such as ``override.put``, ``subject`` what it was done to."""

    at: float
    actor: str
    origin: str
    action: str
    subject: str
    detail: str

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {**self._asdict(), "at": format_moment(self.at)}


def record(
    connection: sqlite3.Connection, actor: Actor, action: str, subject: str, detail: str = "", *, now: float
) -> None:
    """Add a row to the transaction under way (``Database.writing``)."""
    added = connection.execute(
        "INSERT INTO audit (at, actor, origin, action, subject, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (now, actor.name, actor.origin, action, subject, detail[:LONGEST]),
    ).lastrowid
    connection.execute("DELETE FROM audit WHERE id <= ?", ((added or 0) - MOST,))


def read_acts(database: Database, limit: int) -> list[Act]:
    """The newest acts, newest first."""
    found = database.rows(
        "SELECT at, actor, origin, action, subject, detail FROM audit ORDER BY id DESC LIMIT ?", (limit,)
    )
    return [Act(*row) for row in found]


def local_actor() -> Actor:
    """Whoever runs this command; behind sudo, the person who called it."""
    behind = os.environ.get("SUDO_USER") if os.geteuid() == 0 else None
    return Actor(behind or login_name(os.getuid()), "command line")


def login_name(number: int) -> str:
    """The name of an account, or its number where it has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"uid {number}"
