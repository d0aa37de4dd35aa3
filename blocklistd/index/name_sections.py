"""Making the sections of domains and mail addresses: sorted names, each with the number of a feed set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd.index.layout import encode_section
from blocklistd.index.names import split_digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from blocklistd.index.layout import EncodedSection


def encode_domains(feeds: Sequence[Sequence[str]], inputs: str) -> EncodedSection:
    """Names of all feeds, position in the sequence = number of the feed."""
    owners = _owners([name.encode() for name in names] for names in feeds)
    names = sorted(owners)
    offsets = np.zeros(len(names) + 1, np.uint32)
    offsets[1:] = np.cumsum([len(name) for name in names])
    arrays: dict[str, NDArray[Any] | bytes] = {"names": b"".join(names), "name_offsets": offsets}
    return _with_sets("domains", arrays, [owners[name] for name in names], inputs)


def encode_mails(feeds: Sequence[bytes], inputs: str) -> EncodedSection:
    """Digests of all feeds, position in the sequence = number of the feed."""
    owners = _owners(map(split_digests, feeds))
    digests = sorted(owners)
    return _with_sets("mails", {"digests": b"".join(digests)}, [owners[digest] for digest in digests], inputs)


def _owners(feeds: Iterable[Sequence[bytes]]) -> dict[bytes, int]:
    """For each name the feeds that hold it, as a number with one bit a feed."""
    owners: dict[bytes, int] = {}
    for number, names in enumerate(feeds):
        bit = 1 << number
        if owners:
            owners.update([(name, owners.get(name, 0) | bit) for name in names])
        else:
            owners = dict.fromkeys(names, bit)
    return owners


def _with_sets(
    kind: str,
    arrays: dict[str, NDArray[Any] | bytes],
    owners: Sequence[int],
    inputs: str,
) -> EncodedSection:
    """Add the feed sets: set 0 is the empty one, the others are numbered as they first appear."""
    masks = dict.fromkeys([0, *owners])
    numbers = {mask: number for number, mask in enumerate(masks)}
    members = [[bit for bit in range(mask.bit_length()) if mask >> bit & 1] for mask in masks]
    arrays["sets"] = np.array([numbers[mask] for mask in owners], np.uint32)
    arrays["offsets"] = np.cumsum([0, *map(len, members)]).astype(np.uint32)
    arrays["members"] = np.array([bit for bits in members for bit in bits], np.uint16)
    return encode_section(kind, arrays, inputs)
