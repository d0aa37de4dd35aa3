"""The section of one feed: its entries as the list wrote them.

Kept for explaining (which network?), exporting and comparing, and so that an unchanged feed is never parsed twice.
``parents`` lets a reader walk from the last entry that starts at or before an address to all that enclose it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from blocklistd.index.layout import NO_PARENT, encode_section
from blocklistd.networks import Networks, no_networks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from blocklistd.index.layout import EncodedSection, Section

KIND: Final = "entries"


@dataclass(frozen=True, slots=True)
class FeedEntries:
    """What one version of a feed says. Only what belongs to its kind is filled.

    asns: uint32, ascending and unique. domains: normalised names, ``*.name`` with everything below. mails: 16 bytes
    of keyed digest an address, ascending.
    """

    v4: Networks = field(default_factory=lambda: no_networks(4))
    v6: Networks = field(default_factory=lambda: no_networks(6))
    texts: tuple[str, ...] = ("",)
    asns: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    domains: tuple[str, ...] = ()
    mails: bytes = b""


class StoredEntries(FeedEntries):
    """The entries in a section that is opened and verified when they are first looked at; most passes never do."""

    __slots__ = ("_open",)

    @classmethod
    def of(cls, open_section: Callable[[], Section]) -> FeedEntries:
        """Entries whose section a call opens; looking at them raises what that raises."""
        stored = cls.__new__(cls)
        object.__setattr__(stored, "_open", open_section)
        return stored

    def __getattr__(self, name: str) -> Any:
        """Fill the empty slots: this is asked for nothing else."""
        if name == "_open" or name not in {one.name for one in fields(FeedEntries)}:
            raise AttributeError(name)
        found = decode_entries(self._open())
        for one in fields(found):
            object.__setattr__(self, one.name, getattr(found, one.name))
        return getattr(found, name)


def encode_entries(entries: FeedEntries, inputs: str = "") -> EncodedSection:
    """Lay the entries of a feed out as a section; equal entries give equal bytes."""
    arrays = _network_arrays(entries.v4) | _network_arrays(entries.v6)
    if len(entries.asns):
        arrays["asns"] = entries.asns
    if entries.domains:
        arrays["domains"] = "\n".join(entries.domains).encode()
    if entries.mails:
        arrays["mails"] = entries.mails
    if len(entries.texts) > 1:
        arrays["texts"] = "\0".join(entries.texts).encode()
    return encode_section(KIND, arrays, inputs)


def _network_arrays(networks: Networks) -> dict[str, NDArray[Any] | bytes]:
    arrays: dict[str, NDArray[Any] | bytes] = {}
    if len(networks) == 0:
        return arrays
    prefix = f"v{networks.family}"
    for bound, values in (("first", networks.first), ("last", networks.last)):
        if networks.family == 4:
            arrays[f"{prefix}_{bound}"] = values
        else:
            arrays[f"{prefix}_{bound}_high"] = np.ascontiguousarray(values[:, 0])
            arrays[f"{prefix}_{bound}_low"] = np.ascontiguousarray(values[:, 1])
    parents = _parents(networks)
    if parents is not None:
        arrays[f"{prefix}_parents"] = parents
    return arrays | {f"{prefix}.{name}": column for name, column in sorted(networks.columns.items())}


def decode_entries(section: Section) -> FeedEntries:
    """The entries in a section; arrays are views into its mapping."""
    arrays = section.arrays
    v4, v6 = no_networks(4), no_networks(6)
    if "v4_first" in arrays:
        columns = _columns(section, "v4.")
        v4 = Networks(
            4,
            np.frombuffer(arrays["v4_first"], np.uint32),
            np.frombuffer(arrays["v4_last"], np.uint32),
            columns,
        )
    if "v6_first_high" in arrays:
        first, last = (
            np.stack([np.frombuffer(arrays[f"v6_{bound}_{half}"], np.uint64) for half in ("high", "low")], axis=1)
            for bound in ("first", "last")
        )
        v6 = Networks(6, first, last, _columns(section, "v6."))
    return FeedEntries(
        v4=v4,
        v6=v6,
        texts=texts_of(section),
        asns=np.frombuffer(arrays["asns"], np.uint32) if "asns" in arrays else np.empty(0, np.uint32),
        domains=tuple(bytes(arrays["domains"]).decode().split("\n")) if "domains" in arrays else (),
        mails=bytes(arrays["mails"]) if "mails" in arrays else b"",
    )


def texts_of(section: Section) -> tuple[str, ...]:
    """The texts that the text columns point into."""
    return tuple(bytes(section.arrays["texts"]).decode().split("\0")) if "texts" in section.arrays else ("",)


def _columns(section: Section, prefix: str) -> dict[str, NDArray[np.uint32]]:
    return {
        name.removeprefix(prefix): np.frombuffer(array, np.uint32)
        for name, array in section.arrays.items()
        if name.startswith(prefix)
    }


def _parents(networks: Networks) -> NDArray[np.uint32] | None:
    """For each entry the nearest earlier one that reaches further, NO_PARENT where there is none.

    Whatever else encloses an address is in that chain. None where no entry encloses another, which is usual.
    """
    if networks.family == 4:
        lasts = networks.last
        if np.all(lasts[1:] > lasts[:-1]):
            return None
        reach = lasts.tolist()
    else:
        reach = [high << 64 | low for high, low in networks.last.tolist()]
        if all(later > earlier for earlier, later in pairwise(reach)):
            return None
    parents = np.full(len(reach), NO_PARENT, np.uint32)
    open_entries: list[int] = []
    for index, last in enumerate(reach):
        while open_entries and reach[open_entries[-1]] <= last:
            open_entries.pop()
        if open_entries:
            parents[index] = open_entries[-1]
        open_entries.append(index)
    return parents
