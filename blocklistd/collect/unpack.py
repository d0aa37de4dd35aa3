"""Packed bytes to plain bytes, whatever the server or the file name called them.

Takes a stored body and its feed, gives the unpacked bytes. gzip (also several members), zip, xz and bzip2 are
recognised by their first bytes. Promise: never more than ``feed.max_bytes`` come out of all parts of a feed together, a
bomb is noticed while it inflates, and whatever is wrong with an archive is ``BadBody`` with a reason for the operator.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blocklistd.units import round_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from blocklistd.catalogue.feed import Feed

    class _Readable(Protocol):
        def read(self, size: int, /) -> bytes: ...


PIECE: Final = 2**20
"""So many bytes are inflated at a time."""
BOMB_SIZE: Final = 16 * 2**20
BOMB_RATIO: Final = 250
"""More than BOMB_SIZE bytes at more than this ratio are no list: text of addresses packs about five to one."""
SQLITE_MAGIC: Final = b"SQLite format 3\0"
"""How a database begins, which is no packing: it is read as it is."""
XZ_MEMORY: Final = 128 * 2**20
"""An xz stream may ask for a dictionary of this size, not more."""


class BadBody(Exception):
    """The body as a whole cannot be used; ``reason`` is a sentence part for the operator."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class _Room:
    """What a feed may hold in bytes, and how much of that is left for this body."""

    whole: int
    left: int

    def check(self, size: int, verb: str) -> None:
        if size > self.left:
            raise BadBody(f"{verb} {round_size(self.whole)}{'' if self.left == self.whole else ', all parts together'}")


def unpack(source: bytes | Path, feed: Feed, taken: int = 0) -> bytes:
    """The plain bytes of a body, when earlier parts of the feed have given ``taken`` bytes already.

    Raises BadBody for archives that are broken, ambiguous or too large.
    """
    room = _Room(feed.max_bytes, feed.max_bytes - taken)
    data = _read(source, room.whole)
    try:
        for magic, inflate in _PACKINGS.items():
            if data.startswith(magic):
                return inflate(data, feed, room)
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
        raise BadBody(f"broken archive: {error}") from error
    except (NotImplementedError, RuntimeError) as error:  # zipfile: unknown method, password needed
        raise BadBody(f"unusable archive: {error}") from error
    room.check(len(data), "larger than")
    return data


def _read(source: bytes | Path, limit: int) -> bytes:
    if isinstance(source, Path):
        with source.open("rb") as file:  # asked for its size alone, the memory of the former body serves again
            size = os.fstat(file.fileno()).st_size
            source = file.read(min(size, limit) + 1)
            if size < len(source) <= limit:  # it grew meanwhile
                source += file.read(limit + 1 - len(source))
    if len(source) > limit:
        raise BadBody(f"larger than {round_size(limit)}")
    return source


def _drain(stream: _Readable, packed: int, room: _Room) -> bytes:
    pieces: list[bytes] = []
    total = 0
    while piece := stream.read(PIECE):
        total += len(piece)
        room.check(total, "unpacks to more than")
        if total > BOMB_SIZE and total > packed * BOMB_RATIO:
            raise BadBody(f"unpacks to more than {BOMB_RATIO} times its size")
        pieces.append(piece)
    return b"".join(pieces)


def _gzip(data: bytes, _feed: Feed, room: _Room) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        return _drain(stream, len(data), room)


def _bzip2(data: bytes, _feed: Feed, room: _Room) -> bytes:
    with bz2.BZ2File(io.BytesIO(data)) as stream:
        return _drain(stream, len(data), room)


class _XzStream:
    """Concatenated xz streams with a bound on memory, which the standard file object does not offer."""

    def __init__(self, data: bytes) -> None:
        self._rest = data
        self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)

    def read(self, size: int, /) -> bytes:
        while True:
            if self._stream.eof:
                self._rest = self._stream.unused_data.lstrip(b"\0")
                if not self._rest:
                    return b""
                self._stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY)
            given, self._rest = self._rest, b""
            if piece := self._stream.decompress(given, size):
                return piece
            if not self._stream.eof and self._stream.needs_input:
                raise EOFError("the xz stream ends early")


def _xz(data: bytes, _feed: Feed, room: _Room) -> bytes:
    return _drain(_XzStream(data), len(data), room)


def _zip(data: bytes, feed: Feed, room: _Room) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [info for info in archive.infolist() if not info.is_dir()]
        if feed.member is not None:
            named = [info for info in files if info.filename == feed.member]
            files = named or [info for info in files if fnmatchcase(info.filename, feed.member)]
        if len(files) != 1:
            wanted = "" if feed.member is None else f" named {feed.member}"
            hint = "" if feed.member is not None or not files else ": say which with member"
            raise BadBody(f"zip archive holds {len(files)} files{wanted}{hint}")
        with archive.open(files[0]) as stream:
            return _drain(stream, len(data), room)


_PACKINGS: Final[dict[bytes, Callable[[bytes, Feed, _Room], bytes]]] = {
    b"\x1f\x8b": _gzip,
    b"PK\x03\x04": _zip,
    b"PK\x05\x06": _zip,
    b"\xfd7zXZ\0": _xz,
    b"BZh": _bzip2,
}
