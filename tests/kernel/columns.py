"""The columns of an index without any file: what ``Lookup`` and its twin take."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from blocklistd import kernel
from blocklistd.index.listing import NOT_LISTED, Listing
from blocklistd.index.snapshot import address_of

if TYPE_CHECKING:
    from collections.abc import Sequence

GLOBAL6 = 2 << 124


@dataclass
class Columns:
    """Segments of both families, each with a set of its own; set 0 is the empty one."""

    starts4: Sequence[int] = (0, 2**31)
    starts6: Sequence[int] = (0, GLOBAL6, GLOBAL6 + 2**64, 2**127)
    wide: bool = False
    made: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        four, six = np.array(self.starts4, np.uint32), list(self.starts6)
        slots4 = np.arange(2**16 + 1, dtype=np.uint64) << np.uint64(16)
        self.root4 = np.searchsorted(four.astype(np.uint64), slots4).astype(np.uint32)
        borders = [GLOBAL6 + (slot << 108) for slot in range(2**16 + 1)]
        steps, at = [], 0
        for border in borders:
            while at < len(six) and six[at] < border:
                at += 1
            steps.append(at)
        self.root6 = np.array(steps, np.uint32)
        kind = np.uint32 if self.wide else np.uint16
        self.four: list[Any] = [self.root4, four, np.arange(len(four), dtype=kind)]
        self.six: list[Any] = [
            self.root6,
            np.array([start >> 64 for start in six], np.uint64),
            np.array([start & 2**64 - 1 for start in six], np.uint64),
            np.arange(len(six), dtype=kind),
        ]
        self.listings4: list[Listing | None] = [NOT_LISTED, *([None] * (len(four) - 1))]
        self.listings6: list[Listing | None] = [NOT_LISTED, *([None] * (len(six) - 1))]

    def make4(self, number: int) -> Listing:
        self.made.append(number)
        self.listings4[number] = Listing((f"four{number}",))
        return Listing((f"four{number}",))

    def make6(self, number: int) -> Listing:
        self.listings6[number] = Listing((f"six{number}",))
        return Listing((f"six{number}",))

    def lookup(self, resolve: Any = address_of) -> Any:
        """The kernel's Lookup over these columns."""
        assert kernel.active is not None
        return kernel.active.Lookup(
            (*self.four, self.listings4, self.make4), (*self.six, self.listings6, self.make6), resolve
        )

    def expected(self, family: int, value: int) -> tuple[str, ...]:
        """What a linear scan finds."""
        starts, name = (self.starts4, "four") if family == 4 else (self.starts6, "six")
        number = max(index for index, start in enumerate(starts) if start <= value)
        return (f"{name}{number}",) if number else ()


def unsigned(values: Sequence[int]) -> array[int]:
    """A buffer of 32-bit integers."""
    return array("I", values)
