"""Reading what an HTTP server answers: bounded transfer encodings, and how long it wants to be left alone.

Takes header values and chunks as they arrive, gives plain bytes in bounded pieces. No sockets here.
"""

from __future__ import annotations

import zlib
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPT_ENCODING: Final = "gzip, deflate"
OTHER_ENCODINGS: Final = frozenset({"br", "zstd", "compress"})
"""Named in a refusal; other words of a server are not repeated."""

PIECE: Final = 2**18
"""Bytes inflated at once; a bomb is cut off after one more of these than its limit."""

LONGEST_VALIDATOR: Final = 1024
"""A longer ETag or date is not worth sending back."""


class FetchError(Exception):
    """One URL gave no usable body; the text is a plain reason without secrets.

    retry_after: seconds the server asked to be left alone. reached: whether there was any server to answer.
    """

    def __init__(self, reason: str, retry_after: float | None = None, *, reached: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after = retry_after
        self.reached = reached


def retry_after(value: str | None, now: float) -> float | None:
    """Seconds of a ``Retry-After`` header, number or HTTP date (RFC 9110 section 10.2.3); None if unusable."""
    if value is None:
        return None
    text = value.strip()[:100]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def validator(value: str | None) -> str | None:
    """An ETag or Last-Modified header worth keeping, else None."""
    text = (value or "").strip()
    return text if text and len(text) <= LONGEST_VALIDATOR and text.isprintable() else None


class Decoder:
    """Takes the chunks of one answer off their ``Content-Encoding`` in pieces of at most ``PIECE`` bytes.

    Raises FetchError for an encoding we did not ask for, broken data, and data that end too early.
    """

    def __init__(self, encoding: str | None) -> None:
        self._encoding = (encoding or "").strip().lower() or "identity"
        if self._encoding not in {"identity", "gzip", "x-gzip", "deflate"}:
            named = self._encoding if self._encoding in OTHER_ENCODINGS else "unknown"
            raise FetchError(f"content encoding not asked for ({named})")
        self._inflate: zlib._Decompress | None = None
        self._members = 0
        self._head = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The plain bytes of a chunk."""
        if self._encoding == "identity":
            yield chunk
            return
        try:
            yield from self._pieces(self._head + chunk)
        except zlib.error:
            raise FetchError(f"broken {self._encoding} transfer encoding") from None

    def finish(self) -> None:
        """Say that no chunk follows."""
        if self._inflate is not None or (self._head and not self._members):
            raise FetchError(f"cut short within its {self._encoding} transfer encoding")

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        self._head = b""
        full = False
        while data or full:
            if self._inflate is None:
                if len(data) < 2:  # the wrapping shows in the first two bytes
                    self._head = data
                    return
                if self._members and (self._encoding == "deflate" or not data.startswith(b"\x1f\x8b")):
                    return  # padding behind the end, which everybody ignores
                self._inflate = zlib.decompressobj(self._window(data))
                self._members += 1
            piece = self._inflate.decompress(data, PIECE)
            if piece:
                yield piece
            full = len(piece) == PIECE  # then some of it may be held back within zlib
            data = self._inflate.unconsumed_tail
            if self._inflate.eof:
                data = self._inflate.unused_data
                self._inflate, full = None, False

    def _window(self, data: bytes) -> int:
        if self._encoding != "deflate":
            return 31
        wrapped = data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        return 15 if wrapped else -15  # some servers mean RFC 1951 without the wrapping of RFC 1950
