"""Searching domains and mail addresses in their sections: sorted names, found by halving.

Mail addresses are never stored: only a BLAKE2b digest keyed with the data folder's own secret, so that a stolen
snapshot cannot be searched for known addresses.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from blocklistd.index.layout import Section

DIGEST_SIZE: Final = 16


def mail_digest(address: str, secret: bytes) -> bytes:
    """The keyed digest of a normalised (trimmed, lower-case) address."""
    return hashlib.blake2b(address.encode(errors="replace"), digest_size=DIGEST_SIZE, key=secret).digest()


def split_digests(content: bytes) -> list[bytes]:
    """Digests that stand one after another."""
    return [content[start : start + DIGEST_SIZE] for start in range(0, len(content), DIGEST_SIZE)]


class SortedTexts:
    """Binary search over byte strings of one section, without copying them."""

    __slots__ = ("_offsets", "_texts")

    def __init__(self, section: Section) -> None:
        self._texts, self._offsets = section.arrays["names"], section.arrays["name_offsets"]

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> bytes:
        return bytes(self._texts[self._offsets[index] : self._offsets[index + 1]])

    def find(self, text: bytes) -> int:
        """Position of a text, -1 if it is not there."""
        index = bisect_left(self, text)
        return index if index < len(self) and self[index] == text else -1


class SortedDigests:
    """The same for digests of one length."""

    __slots__ = ("_digests",)

    def __init__(self, section: Section) -> None:
        self._digests = section.arrays["digests"]

    def __len__(self) -> int:
        return len(self._digests) // DIGEST_SIZE

    def __getitem__(self, index: int) -> bytes:
        return bytes(self._digests[index * DIGEST_SIZE : (index + 1) * DIGEST_SIZE])

    def find(self, digest: bytes) -> int:
        """Position of a digest, -1 if it is not there."""
        index = bisect_left(self, digest)
        return index if index < len(self) and self[index] == digest else -1
