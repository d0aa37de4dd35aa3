"""Measure everything, print a table, write ``bench/results.json``.

    python -m bench                all parts
    python -m bench http memory    some of them: see PARTS
    python -m bench peers          those with programs and libraries of others beside ours: library, http, union
    python -m bench plots          draw what results.json holds into docs/performance.svg, measure nothing

A part that is measured again replaces its former rows; those of the others stay, each with its machine and load. Times
are medians; contenders of one group take turns in every round. Trust ratios more than times.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import (
    growth,
    history,
    http_peers,
    http_routes,
    library,
    lookups,
    memory,
    parsing,
    refresh,
    report,
    swaps,
    union,
)
from bench.data import LARGE4, LARGE6, Lists, make_lists
from bench.measure import Row, table
from blocklistd import kernel
from tests.support import make_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS = (
    *("parse", "compile", "library", "http", "bulk", "memory", "swaps", "union", "growth", "refresh", "report"),
    "history",
)
GROUPS = {"peers": ("library", "http", "union")}
LARGE = frozenset({"library", "http", "memory", "swaps"})
"""Parts that want a million segments."""
RESULTS = Path(__file__).with_name("results.json")


def main(names: tuple[str, ...]) -> None:
    """Measure these parts."""
    if names == ("plots",):
        from bench import plots

        print(plots.draw(_former()))
        return
    parts = {part for name in names for part in GROUPS.get(name, (name,))}
    if unknown := parts - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join((*PARTS, *GROUPS))}")
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        Path(place).chmod(0o755)  # a worker of nginx may run as somebody else
        rows = []
        for row in _rows(parts, Path(place)):
            print(f"{time.monotonic() - begun:4.0f} s  {row.part}: {row.name}", file=sys.stderr)
            rows.append(row)
    print(table(rows))
    machine: dict[str, Any] = {
        "processor": _processor(),
        "kernels": list(kernel.CHOICES),
        "parts": [part for part in PARTS if part in parts],
        "seconds": round(time.monotonic() - begun),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load": os.getloadavg()[0],
    }
    document = _former()
    for part in machine["parts"]:
        document[part] = {"machine": machine, "rows": [asdict(row) for row in rows if _part_of(row) == part]}
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{machine['processors']} processors, load {machine['load']:.1f}, {machine['seconds']} s")
    print(f"written to {RESULTS}")


def _rows(parts: set[str], folder: Path) -> Iterator[Row]:
    lists, small, large = make_lists(), folder / "small", folder / "large"
    if "parse" in parts:
        yield from parsing.rows(lists)
    if "compile" in parts:
        yield from lookups.rows(lists, small)
    if parts & LARGE:
        yield from _large(parts, make_lists(5, LARGE4, LARGE6), large)
    if "bulk" in parts:
        if "compile" not in parts:
            make_snapshot(small, lists.feeds)
        yield from http_routes.rows(lists, small)
    if "union" in parts:
        yield from union.rows(lists, folder)
    for name, part in (("growth", growth), ("refresh", refresh), ("report", report), ("history", history)):
        if name in parts:
            yield from part.rows(folder)


def _large(parts: set[str], lists: Lists, data: Path) -> Iterator[Row]:
    make_snapshot(data, lists.feeds)
    for name, part in (("library", library), ("http", http_peers), ("memory", memory), ("swaps", swaps)):
        if name in parts:
            yield from part.rows(lists, data)


def _part_of(row: Row) -> str:
    """The part that measured a row; that of single lookups has several headings in the table."""
    return row.part if row.part in PARTS else "compile"


def _former() -> dict[str, Any]:
    """What was measured before, by part."""
    try:
        document: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {part: document[part] for part in PARTS if part in document}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PARTS)
