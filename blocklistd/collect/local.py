"""Lists on this host: ``file:`` URLs, and live SQLite databases such as fail2ban's.

Takes a path, fills a ``Candidate``; only regular files are read, within the candidate's limit. A database
is copied with SQLite's own backup, read-only, so that its owner is neither disturbed nor seen in the middle
of a change.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from blocklistd.collect.answer import FetchError
from blocklistd.collect.store import BodyTooLargeError
from blocklistd.collect.text import printable
from blocklistd.collect.unpack import SQLITE_MAGIC
from blocklistd.errors import StorageFailed
from blocklistd.files import TEMPORARY

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocklistd.collect.store import Candidate

CHUNK: Final = 2**18
BUSY_SECONDS: Final = 5.0
"""So long we wait for a database that is locked by its owner."""


def copy_local(
    url: str,
    candidate: Candidate,
    *,
    database: bool,
    limit: int,
    progress: Callable[[int, int], None],
) -> None:
    """Copy the file that a ``file:`` URL names.

    database: copy an SQLite database consistently. limit: bytes of the largest database. progress: called
    with the bytes so far and in all. Raises FetchError, BodyTooLargeError, StorageFailed.
    """
    path = unquote(urlsplit(url).path)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a fifo must not make us wait
    except (OSError, ValueError) as error:
        raise FetchError(_reason(error)) from None
    before = os.fstat(handle)
    if not stat.S_ISREG(before.st_mode):
        os.close(handle)
        raise FetchError("not a regular file")
    with os.fdopen(handle, "rb") as file:
        try:
            opening = file.read(CHUNK)
            if database and opening.startswith(SQLITE_MAGIC):
                _copy_database(path, opening, candidate, limit)
                return
            chunk = opening
            while chunk:
                if candidate.size + len(chunk) > before.st_size > 0:  # growing; /proc says 0 of everything
                    break
                candidate.write(chunk)
                progress(candidate.size, before.st_size)
                chunk = file.read(CHUNK)
        except OSError as error:
            raise FetchError(_reason(error)) from None
        if _changed(before, os.fstat(file.fileno())):
            raise FetchError("changed while it was read: write lists aside and rename them")


def _reason(error: OSError | ValueError) -> str:
    text = error.strerror if isinstance(error, OSError) else None
    return (text or "cannot be read").lower()


def _changed(before: os.stat_result, after: os.stat_result) -> bool:
    return (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)


def _copy_database(path: str, opening: bytes, candidate: Candidate, limit: int) -> None:
    if Path(path).stat().st_size > limit:
        raise BodyTooLargeError
    copy = _temporary(candidate)
    try:
        _back_up(path, opening, copy)
        with copy.open("rb") as file:
            while chunk := file.read(CHUNK):
                candidate.write(chunk)
    finally:
        for suffix in ("", "-journal", "-wal", "-shm"):
            copy.with_name(copy.name + suffix).unlink(missing_ok=True)


def _temporary(candidate: Candidate) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=candidate.path.parent)
    except OSError as error:
        raise StorageFailed(f"cannot write into {candidate.path.parent}: {error.strerror or error}") from error
    os.close(handle)
    return Path(name)


def _back_up(path: str, opening: bytes, copy: Path) -> None:
    """Copy a database as of one moment.

    A database in WAL mode whose log is empty lies whole in its file: it is opened as immutable, because
    opening it in any other way would leave new ``-wal`` and ``-shm`` files beside it. Else it is opened
    read-only, with its locks.
    """
    try:
        if opening[18:20] == b"\x02\x02" and not _has_content(f"{path}-wal"):
            _back_up_immutable(path, copy)
            return
        try:
            _back_up_from(f"file:{quote(path)}?mode=ro", copy)
        except sqlite3.OperationalError as error:
            if _code(error) not in {"SQLITE_CANTOPEN", "SQLITE_READONLY_CANTINIT"}:
                raise
            _back_up_immutable(path, copy)  # side files cannot be made there, so nobody writes there either
    except sqlite3.Error as error:
        if _code(error) in {"SQLITE_FULL", "SQLITE_IOERR_WRITE"}:
            raise StorageFailed(f"cannot write {copy}: {error}") from error
        raise FetchError(f"database: {printable(str(error))}") from None


def _code(error: sqlite3.Error) -> str:
    return getattr(error, "sqlite_errorname", "")  # errors of the module itself have none


def _back_up_immutable(path: str, copy: Path) -> None:
    before = Path(path).stat()
    _back_up_from(f"file:{quote(path)}?immutable=1", copy)
    if _changed(before, Path(path).stat()):
        raise FetchError("database changed while it was read")


def _back_up_from(uri: str, copy: Path) -> None:
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS)) as source,
        closing(sqlite3.connect(copy, timeout=BUSY_SECONDS)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")  # a copy marked as WAL could not be read from memory


def _has_content(path: str) -> bool:
    try:
        return Path(path).stat().st_size > 0
    except OSError:
        return False
