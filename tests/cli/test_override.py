"""``override``, ``key`` and ``audit`` as a shell sees them."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from blocklistd.cli import main
from blocklistd.state import FILE
from blocklistd.state.audit import read_acts
from blocklistd.state.database import Database
from blocklistd.state.keys import KeyRing, read_keys
from tests.cli.test_commands import run
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def test_entries_are_made_shown_and_removed(tmp_path: Path) -> None:
    """Each step says what is in force now and where; the table of acts remembers all of them."""
    data = str(tmp_path / "data")
    assert "no overrides" in run("override", "list", "--data", data).stderr
    assert not (tmp_path / "data").exists()  # looking creates nothing
    done = run("override", "deny", "192.0.2.7/32", "--reason", "ticket 17", "--data", data)
    assert (done.returncode, done.stdout) == (0, f"deny 192.0.2.7, for good, in {data}/{FILE}\n")
    done = run(
        "override", "allow", "192.0.2.7", "--reason", "ours", "--author", "bob", "--expires", "7d", "--data", data
    )
    assert re.match(r"allow 192\.0\.2\.7, until \d{4}-.*\nin place of: deny, for good \(.+: ticket 17\)\n", done.stdout)
    shown = run("override", "list", "--data", data).stdout.splitlines()
    assert [line.split()[:2] for line in shown] == [["KEY", "ACTION"], ["192.0.2.7", "allow"]]
    (entry,) = json.loads(run("override", "list", "--json", "--data", data).stdout)
    assert (entry["key"], entry["action"], entry["author"], entry["reason"]) == ("192.0.2.7", "allow", "bob", "ours")
    assert run("override", "remove", "192.0.2.7", "--data", data).stdout == "removed: allow 192.0.2.7 (ours)\n"
    done = run("override", "remove", "192.0.2.7", "--data", data)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no override 192.0.2.7" in done.stderr
    acts = [json.loads(line) for line in run("audit", "--json", "--data", data).stdout.splitlines()]
    assert [act["action"] for act in acts] == ["override.remove", "override.put", "override.put"]
    assert {(act["subject"], act["origin"]) for act in acts} == {("192.0.2.7", "command line")}
    assert len(run("audit", "--last", "1", "--data", data).stdout.splitlines()) == 2


def test_an_entry_for_a_feed_that_is_not_there_is_kept_and_doubted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip of the pen in a feed's id would leave the feed in force; where there is no snapshot nothing is said."""
    arguments = ("override", "allow", "feed:exits", "--reason", "wrong", "--data", str(tmp_path))
    assert call(*arguments) == 0
    assert capsys.readouterr().err == ""
    make_snapshot(tmp_path, {"exit": ["192.0.2.1"]})
    assert call(*arguments) == 0
    assert "the snapshot in force has no feed:exits" in capsys.readouterr().err
    assert call("override", "allow", "feed:exit", "--reason", "wrong", "--data", str(tmp_path)) == 0
    assert capsys.readouterr().err == ""


def call(*arguments: str) -> object:
    """The exit status of the command line, run in this process."""
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("override", "deny", "192.0.2.7/24", "--reason", "x"), "write 192.0.2.0/24"),
        (("override", "deny", "192.0.2.7"), "--reason"),
        (("override", "deny", "192.0.2.7", "--reason", "x", "--expires", "soon"), "expires"),
        (("override", "block", "192.0.2.7", "--reason", "x"), "No such command"),
        (("override", "deny", "feed:alpha", "--reason", "x"), "its action is allow"),
        (("key", "add", "shop"), "--scope"),
        (("key", "add", "shop", "--scope", "write"), "operator"),
        (("key", "add", "two words", "--scope", "read"), "no name for a key"),
        (("key", "revoke", "shop"), "no keys"),
    ],
)
def test_mistakes_are_status_2_and_change_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    """A sentence on standard error, and no entry."""
    assert call(*arguments, "--data", str(tmp_path)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    database = Database.open_existing(tmp_path)
    if database is not None:
        with database:
            assert read_acts(database, 1) == []


def test_a_key_is_printed_once(tmp_path: Path) -> None:
    """Standard output is the key and nothing else, so that it can go into a file; lists show how it begins."""
    data = str(tmp_path)
    done = run("key", "add", "shop", "--scope", "operator", "--data", data)
    assert done.returncode == 0
    text = done.stdout.removesuffix("\n")
    with Database.open(tmp_path) as database:
        key = KeyRing(read_keys(database)).find(text)
    assert key is not None
    assert (key.name, key.scope) == ("shop", "operator")
    shown = run("key", "list", "--data", data).stdout + run("key", "list", "--json", "--data", data).stdout
    assert text not in shown
    assert shown.count(text[:10]) == 2
    assert run("key", "revoke", "shop", "--data", data).stdout.startswith("revoked: shop")
    assert "no keys" in run("key", "list", "--data", data).stderr
    assert "key.revoke" in run("audit", "--data", data).stdout


def test_trouble_with_the_file_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged file is named with what to do, by every command, and left as it is."""
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    for arguments in (("override", "list"), ("key", "list"), ("audit",), ("key", "add", "shop", "--scope", "read")):
        assert call(*arguments, "--data", str(tmp_path)) == 1
        said = capsys.readouterr()
        assert said.out == ""
        assert "state.db is damaged" in said.err
    assert (tmp_path / FILE).read_bytes() == b"nonsense" * 1000
