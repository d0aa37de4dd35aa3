"""Files without a name, held in memory, that child processes inherit by their number."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def anonymous_file(name: str, content: bytes = b"", *, size: int = 0) -> int:
    """A new handle of a file that holds ``content``, filled up with zero bytes to ``size``.

    The name is for people who look into /proc. Where the system has no such files an unlinked temporary one serves.
    """
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create(name)
    else:
        with tempfile.TemporaryFile(prefix=name) as file:
            handle = os.dup(file.fileno())
    os.write(handle, content)
    os.ftruncate(handle, max(size, len(content)))
    return handle


def path_of(handle: int) -> Path:
    """A path under which this process, and a child that inherits the handle, can open the file anew."""
    return Path(f"/dev/fd/{handle}")
