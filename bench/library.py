"""The library at a million segments: ``lookup`` and ``lookup_many``, pure and compiled, beside pytricia ``get``.

Each address is asked as text. pytricia holds the same networks and names one list, the most specific; ours names all.
"""

from __future__ import annotations

import ipaddress
from array import array
from typing import TYPE_CHECKING

from bench.data import Lists, questions, text_of
from bench.lookups import each, load_pytricia
from bench.measure import Row, in_turns
from blocklistd import Snapshot, kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PART = "library"
PEER = "pytricia get"
RATIOS = {(kernel.PURE, 4): 1.0, (kernel.PURE, 6): 2.0, (kernel.COMPILED, 4): 0.3, (kernel.COMPILED, 6): 0.4}
"""At most so many times what pytricia takes."""
RATES = {
    (kernel.PURE, "integers"): 3,
    (kernel.PURE, "text"): 1.5,
    (kernel.COMPILED, "integers"): 10,
    (kernel.COMPILED, "text"): 6,
}
"""At least so many million a second."""


def rows(lists: Lists, data: Path) -> Iterator[Row]:
    """Measure the snapshot of ``lists`` in ``data``, opened once with each kernel."""
    snapshots = {}
    for choice in kernel.CHOICES:
        former = kernel.choose(choice)
        snapshots[choice] = Snapshot.open_current(data)
        kernel.choose(former)
    try:
        for family, count in zip((4, 6), next(iter(snapshots.values())).segments, strict=True):
            yield Row(PART, f"segments of IPv{family}", count, "")
        for family in (4, 6):
            yield from _single(lists, snapshots, family)
        yield from _many(lists, snapshots)
    finally:
        for snapshot in snapshots.values():
            snapshot.close()


def _single(lists: Lists, snapshots: dict[str, Snapshot], family: int) -> Iterator[Row]:
    asked = questions(lists, family)
    contenders = {choice: each(snapshot.lookup, asked) for choice, snapshot in snapshots.items()}
    networks = lists.four if family == 4 else lists.six
    try:
        contenders[PEER] = each(load_pytricia(family, [(text_of(family, n), n, "list") for n in networks]), asked)
    except ImportError:
        yield Row(PART, PEER, 0, "", note="not installed: not measured")
    medians = in_turns(contenders)
    for name, seconds in medians.items():
        known = name != PEER and PEER in medians
        note = f"{seconds / medians[PEER]:.2f} x pytricia, target at most {RATIOS[name, family]:g}" if known else ""
        yield Row(PART, f"lookup, IPv{family} text: {name}", seconds * 1e6, "µs", note=note)


def _many(lists: Lists, snapshots: dict[str, Snapshot]) -> Iterator[Row]:
    asked = questions(lists, 4)
    numbers = array("I", [int(ipaddress.IPv4Address(text)) for text in asked])

    def from_text(snapshot: Snapshot) -> Callable[[], int]:
        return lambda: len(snapshot.lookup_many(asked))

    def from_integers(snapshot: Snapshot) -> Callable[[], int]:
        return lambda: len(snapshot.lookup_many_integers(numbers))

    contenders = {(choice, "text"): from_text(snapshot) for choice, snapshot in snapshots.items()}
    contenders |= {(choice, "integers"): from_integers(snapshot) for choice, snapshot in snapshots.items()}
    medians = in_turns({" ".join(key): work for key, work in contenders.items()})
    for (choice, kind), seconds in zip(contenders, medians.values(), strict=True):
        note = f"target at least {RATES[choice, kind]:g} M/s"
        yield Row(PART, f"lookup_many, IPv4 {kind}: {choice}", 1e-6 / seconds, "M/s", note=note)
