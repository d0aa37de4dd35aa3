"""Making and reading back the section ``seen`` of one feed: its stretches, or its names with their times.

Where nothing needs to be told beyond one common first seen, there is no section: ``common_first`` says so.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.index.layout import encode_section
from blocklistd.index.names import split_digests
from blocklistd.index.seen import ON_LIST, Sighted
from blocklistd.index.stretches import Stretches, no_stretches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from blocklistd.index.layout import EncodedSection, Section

KIND: Final = "seen"


def common_first(parts: Sequence[Stretches]) -> int | None:
    """The first seen of everything, 0 where nothing is covered; None where a section has more to tell."""
    firsts = np.concatenate([part.first for part in parts])
    if any(np.any(part.kept) or np.any(part.last != ON_LIST) for part in parts):
        return None
    if len(firsts) == 0:
        return 0
    return int(firsts[0]) if np.all(firsts == firsts[0]) else None


def encode_stretches(parts: Sequence[Stretches]) -> EncodedSection:
    """The section of a feed of addresses; equal stretches give equal bytes."""
    arrays: dict[str, NDArray[Any] | bytes] = {}
    for part in parts:
        if len(part) == 0:
            continue
        prefix = f"v{part.family}"
        for bound, column in (("start", part.start), ("end", part.end)):
            if part.family == 4:
                arrays[f"{prefix}_{bound}"] = column
            else:
                arrays[f"{prefix}_{bound}_high"] = np.ascontiguousarray(column[:, 0])
                arrays[f"{prefix}_{bound}_low"] = np.ascontiguousarray(column[:, 1])
        arrays[f"{prefix}_first"], arrays[f"{prefix}_last"] = part.first, part.last
        arrays[f"{prefix}_kept"] = part.kept.astype(np.uint8)
    return encode_section(KIND, arrays)


def decode_stretches(section: Section, family: int) -> Stretches:
    """The stretches of one family; arrays are views into the mapping."""
    arrays = section.arrays
    prefix = f"v{family}"
    if f"{prefix}_first" not in arrays:
        return no_stretches(family)
    start, end = (_bound(arrays, family, bound) for bound in ("start", "end"))
    first, last = (np.frombuffer(arrays[f"{prefix}_{time}"], np.uint32) for time in ("first", "last"))
    return Stretches(family, start, end, first, last, np.frombuffer(arrays[f"{prefix}_kept"], np.bool_))


def _bound(arrays: Mapping[str, memoryview], family: int, bound: str) -> NDArray[Any]:
    if family == 4:
        return np.frombuffer(arrays[f"v4_{bound}"], np.uint32)
    return np.stack([np.frombuffer(arrays[f"v6_{bound}_{half}"], np.uint64) for half in ("high", "low")], axis=1)


def encode_names(names: Mapping[bytes, Sighted], *, digests: bool) -> EncodedSection:
    """The section of a feed of domains, or of mail addresses by their digests."""
    ordered = sorted(names)
    arrays: dict[str, NDArray[Any] | bytes] = {"digests" if digests else "names": b"".join(ordered)}
    if not digests:
        arrays["name_offsets"] = np.cumsum([0, *map(len, ordered)]).astype(np.uint32)
    arrays["name_first"] = np.fromiter((names[name].first for name in ordered), np.uint32, len(ordered))
    arrays["name_last"] = np.fromiter((names[name].last for name in ordered), np.uint32, len(ordered))
    arrays["name_kept"] = np.fromiter((not names[name].current for name in ordered), np.uint8, len(ordered))
    return encode_section(KIND, arrays)


def decode_names(section: Section) -> dict[bytes, Sighted]:
    """The names or digests with their times."""
    arrays = section.arrays
    if "digests" in arrays:
        names = split_digests(bytes(arrays["digests"]))
    else:
        content, offsets = bytes(arrays["names"]), arrays["name_offsets"].tolist()
        names = [content[start:end] for start, end in pairwise(offsets)]
    kept = np.frombuffer(arrays["name_kept"], np.bool_)
    times = zip(arrays["name_first"].tolist(), arrays["name_last"].tolist(), (~kept).tolist(), strict=True)
    return {name: Sighted(*row) for name, row in zip(names, times, strict=True)}
