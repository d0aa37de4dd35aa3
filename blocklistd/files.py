"""Files that are never seen half-written.

Everything the daemon keeps is written aside in the same folder, flushed, and renamed into place, so a reader sees
the old file or the new one, and a crash leaves at most a temporary file whose name starts with ``TEMPORARY``.
"""

from __future__ import annotations

import os
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
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the renames done in a folder survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporaries(folder: Path) -> int:
    """Remove what a killed writer left behind; give how many files. Only the holder of the lock may call it."""
    leftovers = [path for path in folder.glob(f"{TEMPORARY}*") if path.is_file()]
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)
