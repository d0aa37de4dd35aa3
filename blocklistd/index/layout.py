"""The bytes of a snapshot: manifests and sections. The format itself is described in docs/snapshot-format.md.

A *section* is an immutable file of named arrays with a small header, called after the digest of its content. A
*manifest* is a small file that names sections by role. Both carry a checksum; whatever bytes are found, reading
gives exactly what was written or raises SnapshotCorrupt.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import sys
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

import msgpack

from blocklistd.errors import SnapshotCorrupt, StorageFailed
from blocklistd.files import open_regular, read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Buffer

FORMAT: Final = 1
"""Changes when older readers could not read a snapshot any more."""

SECTION_MAGIC: Final = b"BLKSECT1"
MANIFEST_MAGIC: Final = b"BLKMANI1"
HEADER: Final = Struct("<8sII")
"""Magic, length of the msgpack header or body, CRC-32 of everything behind these 16 bytes."""
ALIGNMENT: Final = 64
ITEM_SIZES: Final = {"B": 1, "H": 2, "I": 4, "Q": 8}
MAX_MANIFEST: Final = 64 * 2**20
NO_PARENT: Final = 0xFFFFFFFF
"""In a column of parents: no other entry encloses this one."""

SECTION_NAME: Final = re.compile(r"[a-z0-9]{1,16}-[0-9a-f]{32}", re.ASCII)
SNAPSHOT_ID: Final = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}", re.ASCII)

SECTIONS: Final = "sections"
SNAPSHOTS: Final = "snapshots"
CURRENT: Final = "current"


@dataclass(frozen=True, slots=True)
class SectionReference:
    """How a manifest names a section: file name, size in bytes, CRC-32, and what it was made from.

    inputs: digest of everything the content depends on; an equal one means the section can be used again.
    """

    name: str
    size: int
    checksum: int
    inputs: str = ""

    def __post_init__(self) -> None:
        """Names become paths: none may lead out of the folder."""
        if SECTION_NAME.fullmatch(self.name) is None:
            raise SnapshotCorrupt(f"{self.name!r} is no name of a section")


@dataclass(frozen=True, slots=True)
class EncodedSection:
    """A section ready to be written: its reference and its bytes, in pieces that are the arrays themselves."""

    reference: SectionReference
    content: tuple[Buffer, ...]


def encode_section(kind: str, arrays: Mapping[str, NDArray[Any] | bytes], inputs: str = "") -> EncodedSection:
    """Lay arrays out behind a header. Arrays are unsigned and one-dimensional; bytes are an array of type B."""
    rows: list[list[object]] = []
    pieces: list[Buffer] = []
    offset = 0
    for name, array in arrays.items():
        if isinstance(array, bytes):
            code, count, size, body = "B", len(array), len(array), memoryview(array)
        else:
            code, count, size = _CODES[array.dtype.itemsize], array.size, array.nbytes
            plain = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
            body = plain.data.cast("B") if size else memoryview(b"")
        rows.append([name, code, count, offset])
        padding = -size % ALIGNMENT
        pieces += [body, bytes(padding)]
        offset += size + padding
    header = msgpack.packb({"format": FORMAT, "kind": kind, "arrays": rows})
    header += bytes(-(HEADER.size + len(header)) % ALIGNMENT)
    checksum = 0
    for piece in (header, *pieces):
        checksum = zlib.crc32(piece, checksum)
    content = (HEADER.pack(SECTION_MAGIC, len(header), checksum) + header, *pieces)
    digest = hashlib.blake2b(digest_size=16)
    for piece in content:
        digest.update(piece)
    size = HEADER.size + len(header) + offset
    return EncodedSection(SectionReference(f"{kind}-{digest.hexdigest()}", size, checksum, inputs), content)


_CODES: Final = {size: code for code, size in ITEM_SIZES.items()}


class Section:
    """One mapped section file. Arrays are memoryviews into the mapping; nothing is copied."""

    __slots__ = ("_mapping", "_views", "arrays", "kind")

    def __init__(self, path: Path, reference: SectionReference | None = None) -> None:
        """Map and verify a file. Raises SnapshotCorrupt, whatever the bytes are."""
        self._mapping = _map(path)
        view = memoryview(self._mapping)
        self._views = [view]
        try:
            self._read(path, view, reference)
        except (
            SnapshotCorrupt,
            ValueError,
            TypeError,
            KeyError,
            IndexError,
            msgpack.UnpackException,
        ) as error:
            self.close()
            if isinstance(error, SnapshotCorrupt):
                raise
            raise SnapshotCorrupt(f"{path.name}: damaged header") from error

    def _read(self, path: Path, view: memoryview, reference: SectionReference | None) -> None:
        if reference is not None and len(view) != reference.size:
            raise SnapshotCorrupt(f"{path.name}: {len(view)} bytes instead of {reference.size}")
        if len(view) < HEADER.size:
            raise SnapshotCorrupt(f"{path.name}: shorter than its header")
        magic, length, checksum = HEADER.unpack_from(view)
        if magic != SECTION_MAGIC:
            raise SnapshotCorrupt(f"{path.name}: not a section of blocklistd")
        if checksum != zlib.crc32(view[HEADER.size :]) or (reference and checksum != reference.checksum):
            raise SnapshotCorrupt(f"{path.name}: checksum does not match")
        unpacker = msgpack.Unpacker(max_buffer_size=length + 1)
        unpacker.feed(view[HEADER.size : HEADER.size + length])
        header = unpacker.unpack()
        if header["format"] != FORMAT:
            raise SnapshotCorrupt(f"{path.name}: format {header['format']}, this version reads {FORMAT}")
        base = HEADER.size + length
        self.kind: str = header["kind"]
        self.arrays: dict[str, memoryview] = {}
        filled = base
        for name, code, count, offset in header["arrays"]:
            end = base + offset + count * ITEM_SIZES[code]
            if end > len(view):
                raise SnapshotCorrupt(f"{path.name}: array {name} ends behind the file")
            part = view[base + offset : end]
            self._views.append(part)
            self.arrays[name] = part.cast(code)
            self._views.append(self.arrays[name])
            filled = end + (base - end) % ALIGNMENT
        if filled != len(view):  # the length of the header is under no checksum: it proves itself by an exact fit
            raise SnapshotCorrupt(f"{path.name}: damaged header")

    def close(self) -> None:
        """Unmap. Views that are still in use keep the mapping until they go."""
        try:
            for view in reversed(self._views):
                view.release()
            self._mapping.close()
        except BufferError:  # a numpy array or a reader still holds a view: the garbage collector ends it
            pass


def _map(path: Path) -> mmap.mmap:
    try:
        handle = open_regular(path)
        try:
            return mmap.mmap(handle, 0, prot=mmap.PROT_READ)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise SnapshotCorrupt(f"{path.name}: missing") from None
    except ValueError:
        raise SnapshotCorrupt(f"{path.name}: empty") from None
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror or error}") from error


def encode_manifest(document: Mapping[str, Any], built_at: float) -> tuple[str, bytes]:
    """Give the snapshot id and the bytes of its manifest."""
    body: bytes = msgpack.packb(dict(document))
    content = HEADER.pack(MANIFEST_MAGIC, len(body), zlib.crc32(body)) + body
    moment = datetime.fromtimestamp(built_at, UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{moment}-{hashlib.blake2b(content, digest_size=4).hexdigest()}", content


def decode_manifest(snapshot_id: str, content: bytes) -> dict[str, Any]:
    """Read a manifest back. Raises SnapshotCorrupt unless these are the bytes that the id was made from."""
    if len(content) < HEADER.size or content[:8] != MANIFEST_MAGIC:
        raise SnapshotCorrupt(f"{snapshot_id}: not a manifest of blocklistd")
    _, length, checksum = HEADER.unpack_from(content)
    body = content[HEADER.size :]
    if length != len(body) or checksum != zlib.crc32(body):
        raise SnapshotCorrupt(f"{snapshot_id}: checksum does not match")
    if hashlib.blake2b(content, digest_size=4).hexdigest() != snapshot_id.rpartition("-")[2]:
        raise SnapshotCorrupt(f"{snapshot_id}: holds another snapshot")
    try:
        document: dict[str, Any] = msgpack.unpackb(body)
        if document["format"] != FORMAT:
            raise SnapshotCorrupt(f"{snapshot_id}: format {document['format']}, this version reads {FORMAT}")
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise SnapshotCorrupt(f"{snapshot_id}: damaged manifest") from error
    return document


def read_manifest(path: Path) -> dict[str, Any]:
    """Read and verify a manifest file; its name is the snapshot id."""
    try:
        content = read_regular(path, MAX_MANIFEST + 1)
    except FileNotFoundError:
        raise SnapshotCorrupt(f"{path.name}: missing") from None
    except OSError as error:
        raise StorageFailed(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > MAX_MANIFEST:
        raise SnapshotCorrupt(f"{path.name}: too large for a manifest")
    return decode_manifest(path.name, content)


if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("blocklistd maps little-endian files and needs a little-endian machine")
