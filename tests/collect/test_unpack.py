"""Packed bodies: recognised by their bytes, bounded while they inflate, refused with a reason."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from blocklistd.catalogue.feed import Feed
from blocklistd.collect.unpack import BadBody, unpack

TEXT = b"192.0.2.1\n198.51.100.0/24\n"
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zip": lambda data: zipped({"a.txt": data}),
}


def feed(**options: object) -> Feed:
    return Feed.model_validate(
        {"id": "x", "urls": ["https://example.org/x"], "format": "lines", "category": "spam"} | options
    )


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize("packing", PACKERS)
def test_quirk_16_compression_is_recognised_from_the_bytes(packing: str) -> None:
    """Each packing gives back the bytes that went in, whatever the file is called."""
    assert unpack(PACKERS[packing](TEXT), feed()) == TEXT


def test_plain_bytes_stay_as_they_are(tmp_path: Path) -> None:
    """A body that is not packed is given back, from bytes and from a file."""
    path = tmp_path / "body"
    path.write_bytes(TEXT)
    assert unpack(TEXT, feed()) == unpack(path, feed()) == TEXT
    assert unpack(b"", feed()) == b""


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_several_members_are_one_list(pack: Callable[[bytes], bytes]) -> None:
    """Streams written one after another unpack to their joined contents, zero padding at the end included."""
    assert unpack(pack(b"192.0.2.1\n") + pack(b"192.0.2.2\n"), feed()) == b"192.0.2.1\n192.0.2.2\n"


def test_zero_padding_after_a_stream_is_no_damage() -> None:
    """Both gzip and xz files padded with NUL bytes still unpack."""
    assert unpack(gzip.compress(TEXT) + b"\0" * 8, feed()) == TEXT
    assert unpack(lzma.compress(TEXT) + b"\0" * 8, feed()) == TEXT


@pytest.mark.parametrize("packing", PACKERS)
def test_a_truncated_archive_is_refused(packing: str) -> None:
    """Half an archive never passes for a shorter list."""
    packed = PACKERS[packing](bytes(range(256)) * 64)
    for length in (len(packed) - 1, len(packed) // 2, 20):
        with pytest.raises(BadBody, match=r"archive"):
            unpack(packed[:length], feed())


@pytest.mark.parametrize("packing", PACKERS)
def test_a_corrupt_archive_is_refused(packing: str) -> None:
    """A flipped byte in the middle is an error of the archive, not a list with a wrong line."""
    packed = bytearray(PACKERS[packing](bytes(range(256)) * 64))
    for position in range(len(packed) // 3, len(packed) // 2):
        packed[position] ^= 0xFF
    with pytest.raises(BadBody, match=r"archive"):
        unpack(bytes(packed), feed())


@pytest.mark.parametrize("packing", PACKERS)
def test_the_limit_holds_for_the_inflated_size(packing: str) -> None:
    """A body may not unpack to more than max_bytes, however small it is on the wire."""
    packed = PACKERS[packing](b"192.0.2.1\n" * 1000)
    assert len(unpack(packed, feed(max_bytes=10_000))) == 10_000
    with pytest.raises(BadBody, match=r"unpacks to more than 9\.8 KiB"):
        unpack(packed, feed(max_bytes=9_999))


def test_the_limit_holds_for_plain_bytes(tmp_path: Path) -> None:
    """An unpacked body may not be larger than max_bytes either."""
    path = tmp_path / "body"
    path.write_bytes(b"x" * 101)
    with pytest.raises(BadBody, match="larger than 100 B"):
        unpack(path, feed(max_bytes=100))


def test_a_bomb_ends_early() -> None:
    """A ratio that no list has is refused before max_bytes are inflated."""
    bomb = gzip.compress(bytes(40 * 2**20))
    with pytest.raises(BadBody, match="times its size"):
        unpack(bomb, feed())


def test_xz_may_not_ask_for_unbounded_memory() -> None:
    """A stream with a dictionary larger than the bound is refused before it is allocated."""
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 192 * 2**20}]
    packed = bytearray(lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 2**16}]))
    assert unpack(bytes(packed), feed()) == TEXT
    with pytest.raises(BadBody, match="broken archive"):
        unpack(lzma.compress(TEXT, filters=filters), feed())


def test_quirk_16_the_only_member_of_a_zip_is_taken() -> None:
    """Folders in the archive are no members."""
    assert unpack(zipped({"data/": b"", "data/list.txt": TEXT}), feed()) == TEXT


def test_quirk_16_member_picks_by_name_or_pattern() -> None:
    """``member`` names one of several files exactly, or by a pattern when its name bears a date."""
    packed = zipped({"readme.txt": b"hello", "list_20260822.txt": TEXT})
    assert unpack(packed, feed(member="list_20260822.txt")) == TEXT
    assert unpack(packed, feed(member="list_*.txt")) == TEXT


@pytest.mark.parametrize(
    ("members", "member", "reason"),
    [
        ({"a": b"1", "b": b"2"}, None, "zip archive holds 2 files: say which with member"),
        ({}, None, "zip archive holds 0 files"),
        ({"a": b"1"}, "c", "zip archive holds 0 files named c"),
        ({"a1": b"1", "a2": b"2"}, "a*", r"zip archive holds 2 files named a\*"),
    ],
)
def test_an_ambiguous_zip_is_refused(members: dict[str, bytes], member: str | None, reason: str) -> None:
    """Which file is the list is never guessed."""
    with pytest.raises(BadBody, match=f"^{reason}$"):
        unpack(zipped(members), feed(member=member))


def test_an_encrypted_zip_is_refused() -> None:
    """A member that needs a password is named as such."""
    packed = bytearray(zipped({"a": TEXT}))
    packed[6] |= 1
    central = packed.index(b"PK\x01\x02")
    packed[central + 8] |= 1
    with pytest.raises(BadBody, match=r"unusable archive: .* is encrypted"):
        unpack(bytes(packed), feed())


def test_an_unknown_zip_method_is_refused() -> None:
    """A compression method that this Python does not know is no crash."""
    packed = bytearray(zipped({"a": TEXT}, zipfile.ZIP_STORED))
    packed[8] = 97
    packed[packed.index(b"PK\x01\x02") + 10] = 97
    with pytest.raises(BadBody, match="unusable archive"):
        unpack(bytes(packed), feed())
