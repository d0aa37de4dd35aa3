"""Keys, decisions on quarantined bodies, and the pin: what the tables keep and give back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocklistd.errors import UsageError
from blocklistd.state import FILE
from blocklistd.state.audit import Actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.keys import MARK, KeyRing, add_key, has_keys, read_keys, revoke_key
from blocklistd.state.pins import Pin, lift_pin, read_pin, set_pin
from blocklistd.state.quarantine import KEPT, Choice, Quarantined, decide, decided

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ALICE = Actor("alice", "command line")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database.open(tmp_path) as opened:
        yield opened


def test_a_key_is_kept_as_its_digest_only(tmp_path: Path, database: Database) -> None:
    """The text is given once; neither the file nor the audit table holds it, only what it is recognised by."""
    key, text = add_key(database, "shop", "read", ALICE, 5.0)
    assert text.startswith(MARK)
    assert len(text) == len(MARK) + 43  # 256 bits in base64
    assert text.startswith(key.prefix)
    assert read_keys(database) == [key]
    database.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith(FILE))
    assert text[len(key.prefix) :].encode() not in stored
    assert key.prefix.encode() in stored


def test_only_the_very_text_finds_a_key(database: Database) -> None:
    """A changed, cut or lengthened text is none, nor are name, prefix and digest; the first good one counts."""
    key, text = add_key(database, "shop", "operator", ALICE, 5.0)
    other, second = add_key(database, "app", "read", ALICE, 5.0)
    ring = KeyRing(read_keys(database))
    assert len(ring) == 2
    wrong = (text[:-1], text + "x", text.lower(), key.name, key.prefix, key.digest.hex(), "", " ", None, "\udc80")
    assert [ring.find(one) for one in wrong] == [None] * len(wrong)
    assert ring.find(text) == key
    assert ring.find("nonsense", second, text) == other
    assert KeyRing().find(text) is None


def test_a_revoked_key_is_gone_and_its_name_free(tmp_path: Path, database: Database) -> None:
    """Names are unique while a key bears them; each act has its row."""
    add_key(database, "shop", "read", ALICE, 5.0)
    assert has_keys(tmp_path)
    with pytest.raises(UsageError, match="a key shop already"):
        add_key(database, "shop", "operator", ALICE, 6.0)
    assert revoke_key(database, "shop", ALICE, 7.0).scope == "read"
    assert not has_keys(tmp_path)
    with pytest.raises(UsageError, match="no key shop"):
        revoke_key(database, "shop", ALICE, 8.0)
    add_key(database, "shop", "read", ALICE, 9.0)
    assert [(act.action, act.at) for act in read_acts(database, 9)] == [
        ("key.add", 9.0),
        ("key.revoke", 7.0),
        ("key.add", 5.0),
    ]


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", ".a", "a\n", "a/b", "ä", "x" * 65])
def test_a_name_is_one_word(database: Database, name: str) -> None:
    """It stands in tables and audit rows, so nothing odd is in it."""
    with pytest.raises(UsageError, match="no name for a key"):
        add_key(database, name, "read", ALICE, 5.0)


# quarantine


def body(digest: str, decision: Choice, at: float) -> Quarantined:
    return Quarantined("alpha", digest, "half of it is gone", 1.0, decision, "alice", "seen", at)


def test_a_decision_is_about_one_body(database: Database) -> None:
    """It holds for that very body of that feed, and the last one counts; each has its row in the audit table."""
    decide(database, body("aa", "reject", 2.0), ALICE)
    decide(database, body("bb", "accept", 3.0), ALICE)
    assert decided(database, "alpha", "aa") == body("aa", "reject", 2.0)
    assert decided(database, "alpha", "cc") is None
    assert decided(database, "beta", "aa") is None
    decide(database, body("aa", "accept", 4.0), ALICE)
    assert decided(database, "alpha", "aa") == body("aa", "accept", 4.0)
    assert [(act.action, act.subject, act.at) for act in read_acts(database, 9)] == [
        ("quarantine.accept", "alpha", 4.0),
        ("quarantine.accept", "alpha", 3.0),
        ("quarantine.reject", "alpha", 2.0),
    ]


def test_old_decisions_are_forgotten(database: Database) -> None:
    """A feed has so many at most; the oldest go."""
    for number in range(KEPT + 3):
        decide(database, body(f"{number:04}", "reject", float(number)), ALICE)
    assert [decided(database, "alpha", f"{number:04}") is None for number in (2, 3)] == [True, False]


# the pin


def test_there_is_one_pin(database: Database) -> None:
    """A second takes the place of the first; lifting gives it back."""
    assert read_pin(database) is None
    set_pin(database, "one", "a bad list", ALICE, 1.0)
    pin = set_pin(database, "two", "a worse one", ALICE, 2.0)
    assert read_pin(database) == pin == Pin("two", "a worse one", "alice", 2.0)
    assert lift_pin(database, ALICE, 3.0) == pin
    assert lift_pin(database, ALICE, 4.0) is None
    assert read_pin(database) is None
    assert [act.action for act in read_acts(database, 9)] == ["pin.lift", "pin.set", "pin.set"]
