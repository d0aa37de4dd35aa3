"""``state.db``: one small SQLite file in the data folder, opened the same way by everybody.

Takes the data folder, gives a ``Database``. Writers commit with WAL and ``synchronous=FULL``: what was acknowledged is
there after a crash or a power cut. The schema has a number (``user_version``); a file of a newer program is refused, an
older one is brought up to date. Every trouble is StorageFailed with a sentence that says what to do.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from blocklistd.errors import StorageFailed
from blocklistd.files import TEMPORARY, database_uri, is_sealed, sync_directory
from blocklistd.state import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

MODE: Final = 0o640
BUSY: Final = 5.0
"""Seconds to wait for another writer."""

MIGRATIONS: Final = (
    """
    CREATE TABLE overrides (
        key TEXT PRIMARY KEY, action TEXT NOT NULL CHECK (action IN ('allow', 'deny')), reason TEXT NOT NULL,
        author TEXT NOT NULL, created REAL NOT NULL, expires REAL
    ) WITHOUT ROWID;
    CREATE TABLE keys (
        name TEXT PRIMARY KEY, scope TEXT NOT NULL CHECK (scope IN ('read', 'operator')), prefix TEXT NOT NULL,
        digest BLOB NOT NULL UNIQUE, author TEXT NOT NULL, created REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE quarantine (
        feed TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT NOT NULL, since REAL NOT NULL,
        decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject')), author TEXT NOT NULL, note TEXT NOT NULL,
        decided REAL NOT NULL, PRIMARY KEY (feed, digest)
    ) WITHOUT ROWID;
    CREATE TABLE pin (
        only INTEGER PRIMARY KEY CHECK (only = 1), snapshot TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL,
        created REAL NOT NULL
    );
    CREATE TABLE audit (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, actor TEXT NOT NULL, origin TEXT NOT NULL, action TEXT NOT NULL,
        subject TEXT NOT NULL, detail TEXT NOT NULL
    );
    """,
)
"""What makes schema n+1 of schema n; the last number is the schema this program writes."""
SCHEMA: Final = len(MIGRATIONS)


class Database:
    """An open ``state.db``. Use it in one thread at a time; ``with`` closes it.

    ``version`` changes whenever another connection, in whatever process, has committed something.
    """

    def __init__(self, path: Path, *, mode: str = "mode=rw") -> None:
        """Open an existing file; mode: how, as SQLite's URIs say it. Raises StorageFailed."""
        with _reported():
            self._connection = sqlite3.connect(
                database_uri(path, mode), uri=True, timeout=BUSY, isolation_level=None, check_same_thread=False
            )
        try:
            with _reported():
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA cache_size = -256")
                self._bring_up_to_date()
        except BaseException:
            self._connection.close()
            raise

    @classmethod
    def open(cls, data: Path) -> Self:
        """The database of a data folder; both are created where there are none. Raises StorageFailed."""
        path = data / FILE
        try:
            data.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageFailed(f"{data} cannot be created: {(error.strerror or str(error)).lower()}") from error
        for _ in range(2):  # a refresh that begins just then sweeps up our temporary file: once more then
            with suppress(FileNotFoundError):
                if not path.exists():
                    _create(path)
                break
        return cls(path)

    @classmethod
    def open_existing(cls, data: Path) -> Self | None:
        """The database of a data folder, None where nothing was ever decided. Raises StorageFailed.

        Where it is sealed (see ``is_sealed``) it is read as it lies there.
        """
        try:
            (data / FILE).stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageFailed(f"{FILE} cannot be read: {(error.strerror or str(error)).lower()}") from error
        return cls(data / FILE, mode="immutable=1" if is_sealed(data / FILE) else "mode=rw")

    def rows(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises StorageFailed."""
        with _reported():
            return self._connection.execute(statement, parameters).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is on disk when the block is left, and undone if it raises. Raises StorageFailed."""
        with _reported():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """All queries in the block see one moment. Raises StorageFailed."""
        with _reported():
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    @property
    def version(self) -> int:
        """A number that another connection's commit changes. Raises StorageFailed."""
        number: int = self.rows("PRAGMA data_version")[0][0]
        return number

    def check(self) -> None:
        """Raise StorageFailed if SQLite finds the file damaged."""
        found = self.rows("PRAGMA quick_check(1)")[0][0]
        if found != "ok":
            raise StorageFailed(_DAMAGED.format(" ".join(found.split())))

    def close(self) -> None:
        """Let go of the file."""
        with suppress(sqlite3.Error):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _bring_up_to_date(self) -> None:
        if self._schema() < SCHEMA:
            with self.writing() as connection:
                for number in range(self._schema(), SCHEMA):
                    for statement in MIGRATIONS[number].split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number + 1}")
        if (schema := self._schema()) > SCHEMA:
            raise StorageFailed(
                f"{FILE} was written by a newer blocklistd (schema {schema}, this one knows {SCHEMA}): upgrade, or "
                f"restore the copy of {FILE} from before."
            )

    def _schema(self) -> int:
        number: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        return number


def _create(path: Path) -> None:
    """Make a whole, empty database aside and put it in its place, unless somebody else was quicker.

    It belongs to whoever owns the data folder: a command that root runs must not lock the daemon out. SQLite gives the
    files it keeps beside it the same owner and mode.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
        aside = Path(name)
        try:
            os.fchmod(handle, MODE)
            folder = path.parent.stat()
            if os.geteuid() == 0 and folder.st_uid != 0:
                os.fchown(handle, folder.st_uid, folder.st_gid)
            os.close(handle)
            with _reported():
                connection = sqlite3.connect(name, timeout=BUSY, isolation_level=None)
                connection.execute("PRAGMA journal_mode = WAL")
                connection.close()
            Database(aside).close()
            with suppress(FileExistsError):
                path.hardlink_to(aside)
        finally:
            aside.unlink(missing_ok=True)
        sync_directory(path.parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageFailed(f"{FILE} cannot be created: {(error.strerror or str(error)).lower()}") from error


_DAMAGED: Final = (
    f"{FILE} is damaged ({{}}). Restore a copy of it, or move it away together with {FILE}-wal and {FILE}-shm and "
    "enter overrides and keys again; until then nothing can be changed."
)


@contextmanager
def _reported() -> Iterator[None]:
    """Turn SQLite's errors into StorageFailed, with what to do."""
    try:
        yield
    except sqlite3.OperationalError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            reason = f"another program has held it for {BUSY:.0f} s; try again"
        elif name.startswith("SQLITE_FULL"):
            reason = "the disk is full; free space and try again"
        elif name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
            reason = f"{error}; run this as the account of the service or as root, or mend the permissions"
        else:
            reason = f"{error}; the log of the system may say more"
        raise StorageFailed(f"{FILE} cannot be used: {reason}.") from error
    except sqlite3.DatabaseError as error:
        if not getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise  # a mistake of ours, not of the file
        raise StorageFailed(_DAMAGED.format(error)) from error
