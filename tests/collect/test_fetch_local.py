"""file: URLs and live databases."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from blocklistd.collect.answer import FetchError
from blocklistd.collect.local import copy_local
from blocklistd.collect.model import Fetched, NotModified
from blocklistd.collect.store import Candidate, commit
from tests.collect.servers import BODY, make_feed
from tests.collect.test_fetch import NEVER, fetch, held, leftovers, reason

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.catalogue import Feed


def bans(path: Path, *, mode: str = "DELETE", rows: int = 1) -> sqlite3.Connection:
    """A database with a table of bans, still open."""
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode={mode}")
    connection.execute("CREATE TABLE bips (ip TEXT, jail TEXT)")
    connection.executemany("INSERT INTO bips VALUES (?, 'sshd')", [(f"192.0.2.{row}",) for row in range(rows)])
    connection.commit()
    return connection


def jail(path: Path, **fields: object) -> Feed:
    return make_feed(f"file://{path}", format="fail2ban", **fields)


def rows_of(body: bytes) -> int:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.deserialize(body)
        return int(connection.execute("SELECT count(*) FROM bips").fetchone()[0])


async def test_a_local_list_is_read(tmp_path: Path) -> None:
    """A file: URL gives the file's bytes; names may be quoted."""
    path = tmp_path / "my list.txt"
    path.write_bytes(BODY)
    seen: list[tuple[str, int, int | None]] = []
    feed = make_feed(f"file://{tmp_path}/my%20list.txt")
    outcome = await fetch(tmp_path, feed, progress=lambda *report: seen.append(report))
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0].path.read_bytes() == BODY
    assert seen == [("made", len(BODY), len(BODY))]


async def test_an_unchanged_local_list(tmp_path: Path) -> None:
    """The same bytes are not modified, other bytes are new."""
    path = tmp_path / "list.txt"
    path.write_bytes(BODY)
    feed = make_feed(f"file://{path}")
    state = await held(tmp_path, feed)
    assert isinstance(await fetch(tmp_path, feed, state), NotModified)
    path.write_bytes(b"192.0.2.9\n")
    assert isinstance(await fetch(tmp_path, feed, state), Fetched)


async def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    """Folders, pipes and devices are refused at once, missing files are called that."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    for name, expected in (
        ("missing", "no such file or directory"),
        ("pipe", "not a regular file"),
        ("", "not a regular file"),
        ("../" * 20 + "dev/zero", "not a regular file"),
        ("loop", "too many levels of symbolic links"),
        ("with%00zero", "cannot be read"),
    ):
        assert await reason(tmp_path, make_feed(f"file://{tmp_path}/{name}")) == expected, name


async def test_a_local_list_has_the_same_limit(tmp_path: Path) -> None:
    """A local file larger than max_bytes is refused."""
    (tmp_path / "list.txt").write_bytes(bytes(2000))
    assert await reason(tmp_path, make_feed(f"file://{tmp_path}/list.txt", max_bytes=1999)) == "larger than 1999"


def test_a_file_that_is_written_while_it_is_read(tmp_path: Path) -> None:
    """A list that changes under way is not used."""
    path = tmp_path / "list.txt"
    path.write_bytes(bytes(2**20))

    def append(size: int, total: int) -> None:
        with path.open("ab") as file:
            file.write(b"x")

    with (
        Candidate(tmp_path, "made", 2**21) as candidate,
        pytest.raises(FetchError, match="changed while it was read"),
    ):
        copy_local(f"file://{path}", candidate, database=False, limit=2**21, progress=append)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("mode", ["DELETE", "WAL", "MEMORY"])
async def test_a_live_database_is_copied_as_of_one_moment(tmp_path: Path, mode: str) -> None:
    """Committed rows are in the copy, also those that are only in the write-ahead log; open changes are not."""
    path = tmp_path / "fail2ban.sqlite3"
    with closing(bans(path, mode=mode, rows=7)) as live:
        outcome = await fetch(tmp_path, jail(path))
        assert isinstance(outcome, Fetched)
        assert rows_of(outcome.parts[0].path.read_bytes()) == 7
        state = commit(tmp_path, NEVER, outcome.parts)
        live.execute("INSERT INTO bips VALUES ('192.0.2.99', 'sshd')")
        assert isinstance(await fetch(tmp_path, jail(path), state), NotModified)
        live.commit()
        outcome = await fetch(tmp_path, jail(path), state)
        assert isinstance(outcome, Fetched)
        assert rows_of(outcome.parts[0].path.read_bytes()) == 8
        commit(tmp_path, state, outcome.parts)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_the_original_is_left_alone(tmp_path: Path, mode: str) -> None:
    """Copying changes no byte of a resting database and leaves no file beside it."""
    folder = tmp_path / "fail2ban"
    folder.mkdir()
    path = folder / "fail2ban.sqlite3"
    bans(path, mode=mode).close()
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    outcome = await fetch(tmp_path, jail(path))
    assert isinstance(outcome, Fetched)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [entry.name for entry in folder.iterdir()] == [path.name]


async def test_a_database_under_constant_change(tmp_path: Path) -> None:
    """The writer goes on while its database is copied again and again; every copy is sound."""
    path = tmp_path / "fail2ban.sqlite3"
    stop = threading.Event()
    bans(path, mode="WAL").close()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=5)) as live:
            while not stop.is_set():
                live.execute("INSERT INTO bips VALUES ('192.0.2.1', 'sshd')")
                live.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        counts = []
        for _ in range(10):
            outcome = await fetch(tmp_path, jail(path))
            assert isinstance(outcome, Fetched), outcome
            counts.append(rows_of(outcome.parts[0].path.read_bytes()))
    finally:
        stop.set()
        writer.join()
    assert counts == sorted(counts)


async def test_a_database_that_is_too_large(tmp_path: Path) -> None:
    """The limit holds for databases too."""
    path = tmp_path / "fail2ban.sqlite3"
    bans(path, rows=2000).close()
    assert await reason(tmp_path, jail(path, max_bytes="8KiB")) == "larger than 8KiB"


async def test_a_broken_database(tmp_path: Path) -> None:
    """A file that only looks like a database is refused by name."""
    path = tmp_path / "fail2ban.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert (await reason(tmp_path, jail(path))).startswith("database: ")


async def test_a_text_export_is_no_database(tmp_path: Path) -> None:
    """format: fail2ban also takes exports, which are copied like any file."""
    path = tmp_path / "banned.txt"
    path.write_bytes(BODY)
    outcome = await fetch(tmp_path, jail(path))
    assert isinstance(outcome, Fetched)
    assert outcome.parts[0].path.read_bytes() == BODY


async def test_a_mirror_does_not_replace_local_lists(tmp_path: Path) -> None:
    """With a mirror, file: lists and fail2ban databases still come from this host."""
    path = tmp_path / "list.txt"
    path.write_bytes(BODY)
    for feed in (make_feed(f"file://{path}"), jail(path)):
        assert isinstance(await fetch(tmp_path, feed, mirror="http://127.0.0.1:1"), Fetched)
