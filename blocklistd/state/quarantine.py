"""What the operator decided about bodies that the gate did not believe.

A body is known by its feed and the digest of its bytes, so a decision holds for that very body and no other. Which body
waits for a decision stands in the state of its feed; here stands what was decided, by whom and why. Who was wrong may
decide again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from blocklistd.state.audit import Actor, record

if TYPE_CHECKING:
    from blocklistd.state.database import Database

Choice = Literal["accept", "reject"]
KEPT: Final = 100
"""Decisions remembered a feed; of older ones the body would be asked about again."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A body and the decision about it.

    digest: SHA-256 in hexadecimal; reason: why the gate objected; since: when it came in; author, note, decided: who
    decided, why and when. Times are unix seconds.
    """

    feed: str
    digest: str
    reason: str
    since: float
    decision: Choice
    author: str
    note: str
    decided: float


def decide(database: Database, body: Quarantined, actor: Actor) -> None:
    """Put down a decision, in place of an earlier one about the same body. Raises StorageFailed."""
    with database.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO quarantine (feed, digest, reason, since, decision, author, note, decided) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(body.feed, body.digest, body.reason, body.since),
                *(body.decision, body.author, body.note, body.decided),
            ),
        )
        connection.execute(
            "DELETE FROM quarantine WHERE feed = ? AND digest NOT IN "
            "(SELECT digest FROM quarantine WHERE feed = ? ORDER BY decided DESC LIMIT ?)",
            (body.feed, body.feed, KEPT),
        )
        detail = f"{body.digest}: {body.note}"
        record(connection, actor, f"quarantine.{body.decision}", body.feed, detail, now=body.decided)


def decided(database: Database, feed: str, digest: str) -> Quarantined | None:
    """The decision about this very body, None while there is none. Raises StorageFailed."""
    found = database.rows(
        "SELECT feed, digest, reason, since, decision, author, note, decided FROM quarantine "
        "WHERE feed = ? AND digest = ? AND decision IS NOT NULL",
        (feed, digest),
    )
    return Quarantined(*found[0]) if found else None
