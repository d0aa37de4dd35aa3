"""Making the sections of domains and mail addresses: sorted names, each with the number of a feed set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd.index.layout import encode_section
from blocklistd.index.names import DIGEST_SIZE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from blocklistd.index.layout import EncodedSection


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
