"""state.db: created whole, durable, watched, and plain about its troubles."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from blocklistd.errors import StorageFailed
from blocklistd.state import FILE
from blocklistd.state.audit import MOST, Actor, read_acts, record
from blocklistd.state.database import MODE, SCHEMA, Database
from blocklistd.state.keys import add_key, has_keys, read_keys
from blocklistd.state.overrides import Override, make_override, put_override, read_overrides

ALICE = Actor("alice", "command line")


def test_it_is_created_once_with_its_folder_and_closed_to_others(tmp_path: Path) -> None:
    """The first to write makes folder and file, mode 0640, in WAL mode, and leaves nothing else behind."""
    data = tmp_path / "deep" / "data"
    assert Database.open_existing(data) is None
    assert not has_keys(data)
    with Database.open(data) as database:
        assert database.rows("PRAGMA journal_mode") == [("wal",)]
        assert database.rows("PRAGMA synchronous") == [(2,)]
        assert database.rows("PRAGMA user_version") == [(SCHEMA,)]
    assert (data / FILE).stat().st_mode & 0o777 == MODE
    assert [path.name for path in data.iterdir()] == [FILE]


def test_what_root_creates_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    """A command that root runs does not lock the daemon out of the file or of those beside it; others own theirs."""
    owner = os.geteuid(), os.getegid()
    if owner[0] == 0:
        owner = 12345, 12346
        os.chown(tmp_path, *owner)
    with Database.open(tmp_path) as database, database.writing():
        assert {path.name for path in tmp_path.iterdir()} == {FILE, f"{FILE}-wal", f"{FILE}-shm"}
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in tmp_path.iterdir()}
    assert owners == {owner}


def test_many_may_create_it_at_once(tmp_path: Path) -> None:
    """Eight threads that open it first at the same time all write into the same file."""
    begin = threading.Barrier(8)

    def write(number: int) -> None:
        begin.wait()
        with Database.open(tmp_path) as database:
            add_key(database, f"key{number}", "read", ALICE, 1.0)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Database.open(tmp_path) as database:
        assert [key.name for key in read_keys(database)] == [f"key{number}" for number in range(8)]


def test_a_commit_of_another_connection_changes_the_version(tmp_path: Path) -> None:
    """Our own commits and mere reading do not."""
    with Database.open(tmp_path) as ours, Database.open(tmp_path) as theirs:
        before = ours.version
        add_key(ours, "ours", "read", ALICE, 1.0)
        read_keys(theirs)
        assert ours.version == before
        add_key(theirs, "theirs", "read", ALICE, 1.0)
        assert ours.version != before


def test_a_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    """Neither the change nor its row in the audit table is left of a transaction that failed."""
    with Database.open(tmp_path) as database:
        with pytest.raises(KeyError):
            change_and_fail(database)
        assert read_acts(database, 10) == []


def change_and_fail(database: Database) -> None:
    with database.writing() as connection:
        record(connection, ALICE, "key.add", "x", now=1.0)
        raise KeyError


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    """Two queries in a ``reading`` block agree although somebody commits between them."""
    with Database.open(tmp_path) as ours, Database.open(tmp_path) as theirs:
        with ours.reading():
            assert read_keys(ours) == []
            add_key(theirs, "new", "read", ALICE, 1.0)
            assert read_keys(ours) == []
        assert len(read_keys(ours)) == 1


READER = """
import os, sys
from pathlib import Path
from blocklistd.errors import StorageFailed
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.keys import add_key, read_keys
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(12346)
    os.setuid(12347)
with Database.open_existing(Path(sys.argv[1])) as database:
    print([key.name for key in read_keys(database)])
    try:
        add_key(database, "late", "read", Actor("x", "y"), 1.0)
    except StorageFailed as error:
        print(error)
"""


@pytest.mark.parametrize("somebody_has_it_open", [True, False])
def test_who_may_only_read_the_folder_reads(tmp_path: Path, *, somebody_has_it_open: bool) -> None:
    """A member of the group reads what is there, whether a daemon runs or not, and cannot change it."""
    data = Path(tempfile.mkdtemp())  # not below tmp_path, which others may not enter
    try:
        with Database.open(data) as database:
            add_key(database, "shop", "read", ALICE, 1.0)
            if os.geteuid() == 0:
                for path in (data, *data.iterdir()):
                    os.chown(path, 12345, 12346)
            if not somebody_has_it_open:
                database.close()
            data.chmod(0o550)
            done = subprocess.run(
                [sys.executable, "-c", READER, str(data)], capture_output=True, text=True, check=False, cwd=tmp_path
            )
    finally:
        data.chmod(0o750)
        shutil.rmtree(data)
    assert done.stdout.splitlines()[0] == "['shop']", done.stderr
    assert "readonly" in done.stdout


# trouble


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """The file of a newer program is left alone; the sentence says what to do."""
    Database.open(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    with pytest.raises(StorageFailed, match=r"newer blocklistd.*upgrade"):
        Database.open(tmp_path)


def test_an_empty_file_becomes_a_whole_one(tmp_path: Path) -> None:
    """A file of no bytes, as a restore that broke off leaves it, is brought up to date like an old schema."""
    (tmp_path / FILE).touch()
    with Database.open(tmp_path) as database:
        assert read_keys(database) == []


@pytest.mark.parametrize("damage", ["text", "page", "cut"])
def test_a_damaged_file_is_told_from_a_good_one(tmp_path: Path, damage: str) -> None:
    """Something else in its place, an overwritten page, a cut file: StorageFailed, with what to do."""
    with Database.open(tmp_path) as database:
        put_override(database, entry("192.0.2.7"), ALICE)
    path = tmp_path / FILE
    whole = path.read_bytes()
    wrong = {"text": b"nonsense\n" * 1000, "page": whole[:4096] + b"\xff" * 8192 + whole[12288:], "cut": whole[:9000]}
    path.write_bytes(wrong[damage])
    with pytest.raises(StorageFailed, match=r"state.db is damaged .*Restore a copy"):
        open_and_check(tmp_path)
    assert path.read_bytes() == wrong[damage]


def test_a_file_held_by_another_writer_is_waited_for_and_then_named(tmp_path: Path) -> None:
    """A writer that never ends is no reason to hang: the wait is bounded."""
    with Database.open(tmp_path) as ours, Database.open(tmp_path) as theirs:
        ours.rows("PRAGMA busy_timeout = 50")
        with theirs.writing(), pytest.raises(StorageFailed, match="another program has held it"):
            add_key(ours, "late", "read", ALICE, 1.0)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """What does not fit is refused as a whole and said plainly."""
    with Database.open(tmp_path) as database:
        ((pages,),) = database.rows("PRAGMA page_count")
        database.rows(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(StorageFailed, match="disk is full"):
            write_much(database)


def write_much(database: Database) -> None:
    for number in range(1000):
        put_override(database, entry(f"192.0.2.{number % 256}", "x" * 400), ALICE)


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    """A data folder that is a file, a state.db that is a folder: a sentence, no traceback."""
    if place == "file":
        (tmp_path / "data").write_text("")
    else:
        (tmp_path / "data" / FILE).mkdir(parents=True)
    with pytest.raises(StorageFailed, match=r"cannot be (created|used)"):
        Database.open(tmp_path / "data")


# durability

WRITER = """
import itertools, sys
from pathlib import Path
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.overrides import make_override, put_override
actor = Actor("writer", "test")
for number in itertools.count(int(sys.argv[2])):
    with Database.open(Path(sys.argv[1])) as database:
        key = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
        put_override(database, make_override(key, "deny", "test", None, None, actor=actor, now=1.0), actor)
    print(key, flush=True)
"""


def test_what_was_acknowledged_is_there_after_kill_9(tmp_path: Path) -> None:
    """A writer killed in the midst of writing, again and again: every entry it reported is there, and its audit row."""
    acknowledged: list[str] = []
    for turn in range(5):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(turn * 65536)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged += [writer.stdout.readline().strip() for _ in range(3 + 4 * turn)]
            writer.send_signal(signal.SIGKILL)
            acknowledged += [line.strip() for line in writer.stdout if line.endswith("\n")]
        assert writer.returncode == -signal.SIGKILL
    with Database.open(tmp_path) as database:
        database.check()
        kept = {override.key for override in read_overrides(database, 1.0)}
        noted = {act.subject for act in read_acts(database, MOST)}
    assert set(acknowledged) <= kept
    assert noted == kept
    assert len(kept) <= len(acknowledged) + 5  # at most the one under way each time


def test_the_audit_table_keeps_the_newest(tmp_path: Path) -> None:
    """Rows beyond the limit go, oldest first; details are cut, not refused."""
    with Database.open(tmp_path) as database, database.writing() as connection:
        connection.execute(
            "INSERT INTO audit (id, at, actor, origin, action, subject, detail) VALUES (1, 0, '', '', 'old', '', '')"
        )
        connection.execute("UPDATE audit SET id = ?", (5,))
        connection.execute(
            "INSERT INTO audit (id, at, actor, origin, action, subject, detail) VALUES (?, 0, '', '', 'late', '', '')",
            (MOST + 4,),
        )
        record(connection, ALICE, "newest", "x", "y" * 5000, now=2.0)
        acts = read_acts(database, 10)
    assert [(act.action, len(act.detail)) for act in acts] == [("newest", 1000), ("late", 0)]
    assert acts[0][:4] == (2.0, "alice", "command line", "newest")


def open_and_check(data: Path) -> None:
    with Database.open(data) as database:
        database.check()


def entry(key: str, reason: str = "test") -> Override:
    return make_override(key, "deny", reason, None, None, actor=ALICE, now=1.0)
