"""From settings to running workers, before anything heavy is loaded.

A worker needs a third of a second to import what answers over HTTP, so it is started first; while it does so the
supervisor imports asyncio, the catalogue and the scheduler.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blocklistd.daemon.memory import anonymous_file
from blocklistd.daemon.sockets import close_sockets, open_sockets, remove_socket_files, socket_files
from blocklistd.errors import StartFailed, StorageFailed
from blocklistd.metrics import ROW_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocklistd.settings import Settings


WORKER_ENVIRONMENT: Final = {"MALLOC_ARENA_MAX": "1", "SSL_CERT_FILE": os.devnull}
"""Saves memory and time in every worker. Its threads take turns, so one heap will do. It makes no connections, so the
system's certificates, which aiohttp's client reads when it is imported, would be 2 MB and up to 60 ms for nothing."""


@dataclass(frozen=True, slots=True)
class Started:
    """A worker process just started and our end of its control channel."""

    process: subprocess.Popen[bytes]
    control: socket.socket


@dataclass(frozen=True, slots=True)
class Ground:
    """What all workers stand on: the listening sockets and the handle of the shared counters."""

    sockets: Sequence[socket.socket]
    counters: int
    environment: Mapping[str, str]
    rows: int

    def start_worker(self, number: int) -> Started:
        """Start worker ``number`` (from 1), which writes counter row ``number``. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            handles = [theirs.fileno(), self.counters, *(listener.fileno() for listener in self.sockets)]
            arguments = [number, self.rows, *handles]
            process = subprocess.Popen(  # noqa: S603 - our own module, numbers as arguments
                [sys.executable, "-m", "blocklistd.daemon.worker", *map(str, arguments)],
                pass_fds=handles,
                env={**self.environment, **WORKER_ENVIRONMENT},
                stdin=subprocess.DEVNULL,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return Started(process, ours)


def launch(settings: Settings) -> int:
    """Run the daemon until it is told to stop; the exit status. Raises UsageError, StartFailed."""
    if settings.mmdb:
        from blocklistd.reputation.databases import check_databases

        check_databases(settings.mmdb)
    ours = os.environ.get("LISTEN_PID") != str(os.getpid())
    sockets = open_sockets(
        settings.listen,
        allow_anonymous=settings.allow_anonymous,
        environment=os.environ,
        has_keys=lambda: _may_have_keys(settings.data),
    )
    files = socket_files(sockets) if ours else {}
    rows = settings.workers + 1
    counters = anonymous_file("blocklistd-counters", size=rows * ROW_BYTES)
    hidden = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    ground = Ground(sockets, counters, environment | settings.as_environment(), rows)
    try:
        try:
            first = [ground.start_worker(number) for number in range(1, rows)]
        except OSError as error:
            raise StartFailed(f"cannot start a worker process: {error.strerror or error}") from error
        from blocklistd.daemon.supervisor import supervise

        return supervise(settings, ground, first)
    finally:
        close_sockets(sockets)
        os.close(counters)
        remove_socket_files(files)


def _may_have_keys(data: Path) -> bool:
    """Whether callers could be asked for a key. With a broken store they are, and all refused, until it is mended."""
    from blocklistd.state.keys import has_keys

    try:
        return has_keys(data)
    except StorageFailed:  # each worker says so in the log
        return True
