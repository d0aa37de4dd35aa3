"""Overrides: the operator's own word about an address, network, ASN, country or feed, and the table that keeps them.

Takes keys as people write them, gives one canonical text for each; one entry a key. Nothing is guessed: a network with
host bits set is refused with both spellings that could have been meant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

from blocklistd.addresses import WIDEST_SIZE, format_address, parse_address
from blocklistd.errors import BadAddress, UsageError
from blocklistd.state.audit import Actor, record
from blocklistd.units import format_moment, parse_duration

if TYPE_CHECKING:
    from blocklistd.state.database import Database

Action = Literal["allow", "deny"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)
Kind = Literal["network", "asn", "country", "feed"]

MOST: Final = 10_000
"""Entries; more than that is a list, and belongs into feeds.yaml."""
LONGEST_REASON: Final = 500
LONGEST_AUTHOR: Final = 100
LONGEST_KEY: Final = 100
FARTHEST: Final = 100 * 366 * 86400
"""Seconds; an entry that lasts longer has no end."""

_ASN: Final = re.compile(r"AS([0-9]{1,10})", re.IGNORECASE)
_FEED: Final = re.compile(r"feed:([a-z0-9_]{1,64})")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_MAPPED_BITS: Final = 96


class OverrideKey(NamedTuple):
    """What an entry is about; ``text`` is the canonical form.

    first and length are those of a network of family 4 or 6, an address being one of full length; number is an ASN.
    """

    text: str
    kind: Kind
    family: int = 0
    first: int = 0
    length: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """One entry. created, expires: unix time; expires is None for an entry without end."""

    key: str
    action: Action
    reason: str
    author: str
    created: float
    expires: float | None = None

    def in_force(self, now: float) -> bool:
        """Whether it has not run out."""
        return self.expires is None or now < self.expires

    def as_document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "key": self.key,
            "action": self.action,
            "reason": self.reason,
            "author": self.author,
            "created": format_moment(self.created),
            "expires": None if self.expires is None else format_moment(self.expires),
        }


def make_override(
    key: str, action: object, reason: object, author: object, expires: object, *, actor: Actor, now: float
) -> Override:
    """An entry from what somebody wrote; without an author it is the actor's. Raises UsageError.

    expires: None, a duration such as 7d, or a moment as ISO 8601 (UTC where it has no zone).
    """
    parsed = parse_key(key)
    if action not in ACTIONS:
        raise UsageError(f"action must be allow or deny, not {action!r}"[:200])
    if parsed.kind == "feed" and action == "deny":
        raise UsageError(
            "the entry of a feed takes the feed out, so its action is allow; to block what a feed names, give the "
            "policy a rule"
        )
    return Override(
        parsed.text,
        "allow" if action == "allow" else "deny",
        _sentence("reason", reason, LONGEST_REASON),
        actor.name if author is None else _sentence("author", author, LONGEST_AUTHOR),
        now,
        parse_expiry(expires, now),
    )


def parse_key(text: str) -> OverrideKey:
    """An address, a network, ``AS64500``, a country such as ``DE``, or ``feed:ID``. Raises UsageError."""
    if match := _FEED.fullmatch(text):
        return OverrideKey(text, "feed")
    if match := _ASN.fullmatch(text):
        number = int(match[1])
        if not 0 < number < 2**32:
            raise UsageError(f"{text} is no ASN: they go from AS1 to AS4294967295")
        return OverrideKey(f"AS{number}", "asn", number=number)
    if _COUNTRY.fullmatch(text):
        if text.upper() == "UK":
            raise UsageError("the country code of the United Kingdom is GB")
        return OverrideKey(text.upper(), "country")
    return _parse_network(text)


def _parse_network(text: str) -> OverrideKey:
    host, slash, suffix = text[:LONGEST_KEY].partition("/")
    try:
        family, value = parse_address(host)
    except BadAddress:
        raise UsageError(
            f"{text[:LONGEST_KEY]!r} is no key: write an address, a network such as 192.0.2.0/24, an ASN such as "
            "AS64500, a country such as DE, or feed:ID"
        ) from None
    bits = 32 if family == 4 else 128
    counted_from = _MAPPED_BITS if family == 4 and ":" in host else 0
    length = bits
    if slash:
        digits = suffix.isascii() and suffix.isdigit() and len(suffix) <= 3
        length = int(suffix) - counted_from if digits else -1
        if not 0 <= length <= bits:
            raise UsageError(f"{text[:LONGEST_KEY]!r} is no network: behind the / stands a number up to {bits}")
    if length == bits:
        return OverrideKey(format_address(family, value), "network", family, value, length)
    size = 1 << bits - length
    first = value & ~(size - 1)
    network = f"{format_address(family, first)}/{length}"
    if size > WIDEST_SIZE[family]:
        raise UsageError(f"{network} is wider than an entry may be (/8, IPv6 /16): for so much, use the policy")
    if first != value:
        raise UsageError(
            f"{text} has host bits set: write {network} for the network or {format_address(family, value)} for the "
            "address"
        )
    return OverrideKey(network, "network", family, first, length)


def parse_expiry(value: object, now: float) -> float | None:
    """When an entry ends, as unix time; None for one without end. Raises UsageError."""
    if value is None:
        return None
    try:
        moment = _moment(value if isinstance(value, str) else "", now)
    except (ValueError, OverflowError):
        raise UsageError(
            f"expires: {str(value)[:100]!r} is neither a duration such as 7d nor a moment such as 2026-12-31T00:00:00Z"
        ) from None
    if moment <= now:
        raise UsageError(f"expires: {value} is past already")
    if moment > now + FARTHEST:
        raise UsageError(f"expires: {value} is more than a hundred years away; leave it out for an entry without end")
    return moment


def _moment(text: str, now: float) -> float:
    try:
        return now + parse_duration(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _sentence(name: str, value: object, longest: int) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        raise UsageError(f"{name} is missing: write a sentence for whoever finds this entry later")
    if len(text) > longest or not text.isprintable():
        raise UsageError(f"{name} may be one line of {longest} characters")
    return text


_COLUMNS: Final = "key, action, reason, author, created, expires"


def put_override(database: Database, override: Override, actor: Actor) -> Override | None:
    """Store an entry in place of the one of its key, which is given. Raises UsageError, StorageFailed."""
    now = override.created
    with database.writing() as connection:
        connection.execute("DELETE FROM overrides WHERE expires <= ?", (now,))
        former = find_override(database, override.key, now)
        ((count,),) = database.rows("SELECT count(*) FROM overrides")
        if former is None and count >= MOST:
            raise UsageError(f"there are {MOST:,} entries already: as many belong into a list of their own")
        connection.execute(
            f"INSERT OR REPLACE INTO overrides ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
            (override.key, override.action, override.reason, override.author, override.created, override.expires),
        )
        record(connection, actor, "override.put", override.key, _detail(override), now=now)
    return former


def remove_override(database: Database, key: str, actor: Actor, now: float) -> Override | None:
    """Take an entry away; gives it, or None where there was none in force. Raises UsageError, StorageFailed."""
    with database.writing() as connection:
        former = find_override(database, parse_key(key).text, now)
        if former is not None:
            connection.execute("DELETE FROM overrides WHERE key = ?", (former.key,))
            record(connection, actor, "override.remove", former.key, _detail(former), now=now)
    return former


def find_override(database: Database, key: str, now: float) -> Override | None:
    """The entry of a canonical key, None where none is in force. Raises StorageFailed."""
    found = database.rows(f"SELECT {_COLUMNS} FROM overrides WHERE key = ?", (key,))  # noqa: S608 - a constant
    override = Override(*found[0]) if found else None
    return override if override is not None and override.in_force(now) else None


def read_overrides(database: Database, now: float) -> list[Override]:
    """All entries in force, by key. Raises StorageFailed."""
    found = database.rows(f"SELECT {_COLUMNS} FROM overrides ORDER BY key")  # noqa: S608 - a constant
    return [override for row in found if (override := Override(*row)).in_force(now)]


def _detail(override: Override) -> str:
    until = f" until {format_moment(override.expires)}" if override.expires is not None else ""
    return f"{override.action}{until}, {override.author}: {override.reason}"
