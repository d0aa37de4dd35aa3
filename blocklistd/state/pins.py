"""The pin: one snapshot that stays in force until it is lifted, whatever refreshes bring in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from blocklistd.state.audit import Actor, record
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from blocklistd.state.database import Database


@dataclass(frozen=True, slots=True)
class Pin:
    """snapshot: the id it holds fast; author: who set it; at: unix time."""

    snapshot: str
    reason: str
    author: str
    at: float

    @property
    def sentence(self) -> str:
        """For people."""
        return f"snapshot {self.snapshot} is pinned by {self.author}: {self.reason}"

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {"snapshot": self.snapshot, "reason": self.reason, "author": self.author, "at": format_moment(self.at)}


def read_pin(database: Database) -> Pin | None:
    """The pin, None where there is none. Raises StorageFailed."""
    found = database.rows("SELECT snapshot, reason, author, created FROM pin")
    return Pin(*found[0]) if found else None


def set_pin(database: Database, snapshot: str, reason: str, actor: Actor, now: float) -> Pin:
    """Pin a snapshot in place of the one pinned before. Raises StorageFailed."""
    pin = Pin(snapshot, reason, actor.name, now)
    with database.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO pin (only, snapshot, reason, author, created) VALUES (1, ?, ?, ?, ?)",
            (pin.snapshot, pin.reason, pin.author, pin.at),
        )
        record(connection, actor, "pin.set", snapshot, reason, now=now)
    return pin


def lift_pin(database: Database, actor: Actor, now: float) -> Pin | None:
    """Take the pin away; gives it, or None where there was none. Raises StorageFailed."""
    with database.writing() as connection:
        pin = read_pin(database)
        if pin is not None:
            connection.execute("DELETE FROM pin")
            record(connection, actor, "pin.lift", pin.snapshot, pin.reason, now=now)
    return pin
