"""What systemd is told (sd_notify, watchdog), spoken with the standard library.

Takes the environment of a service of ``Type=notify``, gives a ``Notifier`` whose calls do nothing where there is no
systemd. A message that cannot be delivered is dropped: telling systemd must never stop an answer.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Notifier:
    """The notification socket of this process; its variables are taken out of ``environment``."""

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        path = environment.pop("NOTIFY_SOCKET", "")
        period = environment.pop("WATCHDOG_USEC", "")
        meant = environment.pop("WATCHDOG_PID", "")
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        for_us = not meant or meant == str(os.getpid())
        self.watchdog: float = int(period) / 1e6 if period.isdigit() and for_us else 0.0
        """Seconds after which systemd takes silence for death; 0 if it does not watch."""

    def ready(self, status: str) -> None:
        """The service answers; also the end of a reload."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The catalogue is being read again."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """No new request is accepted."""
        self._send("STOPPING=1", "STATUS=Finishing the requests under way")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        message = "\n".join(line.replace("\n", " ") for line in lines)
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.settimeout(1)
            channel.sendto(message.encode(), self._address)
