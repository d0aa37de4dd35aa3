"""Measuring side by side: contenders take turns, round after round, and medians are compared.

One machine is never quiet for long; what disturbs a round disturbs all contenders of it. A ``Row`` is one line of the
table and one object in results.json.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

ROUNDS = 7


@dataclass(frozen=True)
class Row:
    """One measurement. ratio: how many times what ours takes; note: what a reader must know."""

    part: str
    name: str
    value: float
    unit: str
    ratio: float | None = None
    note: str = ""


def in_turns(contenders: Mapping[str, Callable[[], int]], rounds: int = ROUNDS) -> dict[str, float]:
    """Median seconds per operation of each contender; a contender does a block of work and says how many operations.

    The first round warms up and does not count.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, work in contenders.items():
            gc.collect()
            begun = time.perf_counter()
            operations = work()
            seconds = (time.perf_counter() - begun) / operations
            if number:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def compared(part: str, medians: Mapping[str, float], notes: Mapping[str, str] | None = None) -> Iterable[Row]:
    """Rows in microseconds per operation, each with its ratio to the first."""
    ours = next(iter(medians.values()))
    for name, seconds in medians.items():
        yield Row(part, name, seconds * 1e6, "µs", seconds / ours, (notes or {}).get(name, ""))


def once(part: str, name: str, work: Callable[[], object], *, rounds: int = 3, note: str = "") -> Row:
    """Median milliseconds of a piece of work."""
    taken = []
    for _ in range(rounds):
        gc.collect()
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return Row(part, name, statistics.median(taken) * 1e3, "ms", note=note)


def quotient(part: str, name: str, over: Sequence[float], under: Sequence[float], note: str = "") -> Row:
    """How many times ``under`` is ``over``: the median of the quotients of each round."""
    quotients = [one / other for one, other in zip(over, under, strict=True)]
    return Row(part, name, statistics.median(quotients), "x", note=note)


def table(rows: Iterable[Row]) -> str:
    """The rows as text."""
    lines = [f"{'':11}{'':54}{'':>10}{'':5}{'times':>8}"]
    part = ""
    for row in rows:
        shown = "" if row.part == part else row.part
        part = row.part
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
        lines.append(f"{shown:11}{row.name:54}{value:>10} {row.unit:4}{ratio:>8}  {row.note}".rstrip())
    return "\n".join(lines)
