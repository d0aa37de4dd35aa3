"""The channel between supervisor and worker: JSON objects, one a line, over a socket pair.

    supervisor → worker   {"ping": n}                              are you there?
                          {"stop": true}                           finish what is under way and end
                          {"report": {…}}                          how the last refresh ended
                          {"refreshing": bool}                     whether one is under way
                          {"catalogue": {…}}                       how the catalogue was read
                          {"policy": {…}}                          the policy in force, and how it was read
                          {"reply": n, "status", "sentence"}       to a wish
    worker → supervisor   {"ready": snapshot id or null}           I answer
                          {"pong": n}
                          {"snapshot": id}                         I answer from another snapshot now
                          {"wish": n}                              somebody asks for a refresh

The end of the channel is the end of the other process: a worker whose supervisor was killed finishes and goes.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import socket

LONGEST_MESSAGE: Final = 32 * 2**20
"""Bytes; more than a policy or the report of a refresh can have. A longer one would end whoever receives it."""


class Channel:
    """One end. ``receive`` gives None at the end; ``send`` after the end is no error."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Take over one end of a socket pair."""
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LONGEST_MESSAGE))

    async def receive(self) -> dict[str, Any] | None:
        """The next message, None when the other side is gone or talks nonsense."""
        try:
            line = await self._reader.readline()
            message = json.loads(line) if line.endswith(b"\n") else None
        except (OSError, ValueError):
            return None
        return message if isinstance(message, dict) else None

    def send(self, **message: Any) -> None:
        """Queue a message."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        """Close this end after what is queued."""
        self._writer.close()
