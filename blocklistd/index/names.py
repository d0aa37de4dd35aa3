"""Domains and mail addresses: sorted names, each with the number of a feed set.

Mail addresses are never stored: only a BLAKE2b digest keyed with the data folder's own secret, so that a stolen
snapshot cannot be searched for known addresses.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.index.layout import encode_section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.index.layout import EncodedSection, Section

DIGEST_SIZE: Final = 16


def mail_digest(address: str, secret: bytes) -> bytes:
    """The keyed digest of a normalised (trimmed, lower-case) address."""
    return hashlib.blake2b(address.encode(), digest_size=DIGEST_SIZE, key=secret).digest()


def encode_domains(feeds: Sequence[Sequence[str]], inputs: str) -> EncodedSection:
    """Names of all feeds, position in the sequence = number of the feed."""
    owners: dict[str, list[int]] = {}
    for number, names in enumerate(feeds):
        for name in names:
            owners.setdefault(name, []).append(number)
    ordered = sorted((name.encode(), members) for name, members in owners.items())
    offsets = np.zeros(len(ordered) + 1, np.uint32)
    offsets[1:] = np.cumsum([len(name) for name, _ in ordered])
    arrays: dict[str, NDArray[Any] | bytes] = {
        "names": b"".join(name for name, _ in ordered),
        "name_offsets": offsets,
    }
    return _with_sets("domains", arrays, [members for _, members in ordered], inputs)


def encode_mails(feeds: Sequence[bytes], inputs: str) -> EncodedSection:
    """Digests of all feeds, position in the sequence = number of the feed."""
    owners: dict[bytes, list[int]] = {}
    for number, digests in enumerate(feeds):
        for start in range(0, len(digests), DIGEST_SIZE):
            owners.setdefault(digests[start : start + DIGEST_SIZE], []).append(number)
    ordered = sorted(owners.items())
    return _with_sets("mails", {"digests": b"".join(d for d, _ in ordered)}, [m for _, m in ordered], inputs)


def _with_sets(
    kind: str,
    arrays: dict[str, NDArray[Any] | bytes],
    members: Sequence[list[int]],
    inputs: str,
) -> EncodedSection:
    numbers: dict[tuple[int, ...], int] = {(): 0}
    sets = np.fromiter((numbers.setdefault(tuple(m), len(numbers)) for m in members), np.uint32, len(members))
    arrays["sets"] = sets
    arrays["offsets"] = np.cumsum([0, *map(len, numbers)]).astype(np.uint32)
    arrays["members"] = np.fromiter((number for key in numbers for number in key), np.uint16)
    return encode_section(kind, arrays, inputs)


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
