"""One refresh at a time in a data folder, across processes. A crash releases the lock by itself."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from blocklistd.errors import RefreshBusy, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def refresh_lock(data: Path) -> Iterator[None]:
    """Hold ``<data>/lock``. Raises RefreshBusy if another process has it, StorageFailed if it cannot be made."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        # whoever may write here must not have us write elsewhere, through a link
        handle = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        reason = "it is no folder" if isinstance(error, FileExistsError) else error.strerror
        raise StorageFailed(f"cannot write to {error.filename or data}: {reason}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            raise RefreshBusy(
                f"another refresh of {data} is at work (process {holder or 'unknown'}): wait for it or stop it"
            ) from None
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except OSError:  # a full disk must not hide behind the lock: writing the lists will report it
            pass
        yield
    finally:
        os.close(handle)
