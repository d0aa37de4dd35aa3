"""Bytes of a text body → lines, as they arrive. Pure: no socket in sight.

Takes chunks of any size, gives whole lines without their ends. A line longer than ``longest`` comes out as its first
``longest + 1`` bytes, so the caller sees that it is too long and memory stays bounded whatever is sent.
"""

from __future__ import annotations

from typing import Final

LONGEST_LINE: Final = 1000
"""Bytes. An address has at most 39 characters; the rest is patience with blanks."""


class LineSplitter:
    """Feed it chunks, then ``finish``."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._kept = longest + 1
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()[: self._kept]
        return [line[: self._kept] for line in lines]

    def finish(self) -> list[bytes]:
        """The last line, if it has no line end."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []
