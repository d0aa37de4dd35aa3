"""Keys: who may ask from beyond this host, and who may act as the operator.

A key is ``blk_`` and 256 random bits. It is shown once and stored as its SHA-256: a slow, salted hash guards secrets
that people choose, because those can be guessed; nobody guesses 256 random bits, and a fast hash can be checked on
every request. A presented key is looked up by its digest, so how long that takes tells nothing about the keys there
are.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from blocklistd.errors import UsageError
from blocklistd.state.audit import Actor, record
from blocklistd.units import format_moment

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from blocklistd.state.database import Database

Scope = Literal["read", "operator"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
MARK: Final = "blk_"
RANDOM_BYTES: Final = 32
SHOWN: Final = len(MARK) + 6
"""So many characters of a key are kept in the clear to recognise it by; 220 bits stay secret."""
MOST: Final = 10_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. scope: ``operator`` may do all that ``read`` may; created: unix time."""

    name: str
    scope: Scope
    prefix: str
    digest: bytes
    author: str
    created: float

    def as_document(self) -> dict[str, Any]:
        """For JSON, without the digest."""
        return {
            "name": self.name,
            "scope": self.scope,
            "prefix": self.prefix,
            "author": self.author,
            "created": format_moment(self.created),
        }


class KeyRing:
    """All keys of one moment, as workers hold them."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._by_digest = {key.digest: key for key in keys}

    def __len__(self) -> int:
        return len(self._by_digest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeyRing) and self._by_digest == other._by_digest

    __hash__ = None  # type: ignore[assignment]  # equal by content

    def find(self, *presented: str | None) -> Key | None:
        """The key of the first text that is one."""
        for text in presented:
            if text and (key := self._by_digest.get(digest_of(text))) is not None:
                return key
        return None


def digest_of(text: str) -> bytes:
    """What is stored of a key; any text has one."""
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def add_key(database: Database, name: str, scope: Scope, actor: Actor, now: float) -> tuple[Key, str]:
    """Make a key; gives it and its text, which is kept nowhere. Raises UsageError, StorageFailed."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"{name[:100]!r} is no name for a key: write letters, digits, dots, - and _, 64 at most")
    text = MARK + secrets.token_urlsafe(RANDOM_BYTES)
    key = Key(name, scope, text[:SHOWN], digest_of(text), actor.name, now)
    with database.writing() as connection:
        existing = {other.name for other in read_keys(database)}
        if name in existing:
            raise UsageError(f"there is a key {name} already: revoke it first, or choose another name")
        if len(existing) >= MOST:
            raise UsageError(f"there are {MOST:,} keys already: revoke those that are not used")
        connection.execute(
            "INSERT INTO keys (name, scope, prefix, digest, author, created) VALUES (?, ?, ?, ?, ?, ?)",
            (key.name, key.scope, key.prefix, key.digest, key.author, key.created),
        )
        record(connection, actor, "key.add", name, f"{scope}, {key.prefix}…", now=now)
    return key, text


def revoke_key(database: Database, name: str, actor: Actor, now: float) -> Key:
    """Take a key away; gives what it was. Raises UsageError where there is none, StorageFailed."""
    with database.writing() as connection:
        key = next((key for key in read_keys(database) if key.name == name), None)
        if key is None:
            raise UsageError(f"there is no key {name[:100]}: blocklistd key list names them")
        connection.execute("DELETE FROM keys WHERE name = ?", (name,))
        record(connection, actor, "key.revoke", name, f"{key.scope}, {key.prefix}…", now=now)
    return key


def read_keys(database: Database) -> list[Key]:
    """All keys, by name. Raises StorageFailed."""
    found = database.rows("SELECT name, scope, prefix, digest, author, created FROM keys ORDER BY name")
    return [Key(*row) for row in found]


def has_keys(data: Path) -> bool:
    """Whether the data folder holds at least one key. Raises StorageFailed."""
    from blocklistd.state.database import Database  # a worker that only looks keys up does not load SQLite

    database = Database.open_existing(data)
    if database is None:
        return False
    with database:
        return bool(database.rows("SELECT 1 FROM keys LIMIT 1"))
