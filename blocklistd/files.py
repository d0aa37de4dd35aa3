"""Files that are never seen half-written.

Everything the daemon keeps is written aside in the same folder, flushed, and renamed into place, so a reader sees
the old file or the new one, and a crash leaves at most a temporary file whose name starts with ``TEMPORARY``.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

TEMPORARY: Final = ".tmp-"


def write_atomically(path: Path, *chunks: Buffer, mode: int = 0o644, durable: bool = True) -> None:
    """Replace ``path`` by the joined chunks.

    durable: also survive a power cut (fsync of file and folder), not only a crash of the process.
    Raises OSError and leaves the old file as it was.
    """
    handle, name = tempfile.mkstemp(prefix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in chunks:
                file.write(chunk)
            os.fchmod(file.fileno(), mode)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105  # hundreds of sections: an object for every name costs more than renaming
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def open_regular(path: Path) -> int:
    """Open a file for reading, give its handle. Raises OSError, also for anything that is no regular file.

    Never waits: a fifo in the place of a file must not stop whoever reads it.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return handle


def read_regular(path: Path, limit: int) -> bytes:
    """The first ``limit`` bytes of a regular file. Raises OSError."""
    with os.fdopen(open_regular(path), "rb") as file:
        return file.read(limit)


def sync_directory(path: Path) -> None:
    """Make the renames done in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of a file survive a power cut."""
    sync_directory(path)  # a folder and a file are synced alike


def remove_temporaries(folder: Path) -> int:
    """Remove what a killed writer left behind; give how many files. Only the holder of the lock may call it."""
    leftovers = [path for path in folder.glob(f"{TEMPORARY}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def database_uri(path: Path, mode: str) -> str:
    """A SQLite file as the URI that opens it; mode: how, such as ``mode=ro``."""
    return f"file:{str(path.absolute()).replace('%', '%25').replace('?', '%3f').replace('#', '%23')}?{mode}"


def is_sealed(database: Path) -> bool:
    """Whether SQLite can make nothing beside its file, and nobody else has: the file alone then holds everything.

    So it is where we may only read the folder and no other process has the database open; ``immutable=1`` reads it.
    """
    return not os.access(database.parent, os.W_OK) and not database.with_name(f"{database.name}-wal").exists()
