"""Measure everything, print a table, write ``bench/results.json``.

    python -m bench            all parts
    python -m bench parse      some of: parse, compile (with lookups), http, refresh

Times are medians; contenders of one group take turns in every round. Trust ratios more than times.
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

from bench import http_routes, lookups, parsing, refresh
from bench.data import make_lists
from bench.measure import Row, table

PARTS = ("parse", "compile", "http", "refresh")
RESULTS = Path(__file__).with_name("results.json")


def main(parts: tuple[str, ...]) -> None:
    """Measure these parts."""
    if unknown := set(parts) - set(PARTS):
        sys.exit(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        folder = Path(place)
        lists = make_lists()
        if "parse" in parts:
            rows += parsing.rows(lists)
        if "compile" in parts or "http" in parts:
            rows += lookups.rows(lists, folder / "made-up")
        if "http" in parts:
            rows += http_routes.rows(lists, folder / "made-up")
        if "refresh" in parts:
            rows += refresh.rows(folder)
    print(table(rows))
    machine = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": len(os.sched_getaffinity(0)),
        "measured": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load": os.getloadavg()[0],
    }
    document = {"machine": machine, "rows": [asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\n{machine['processors']} processors, load {machine['load']:.1f}; written to {RESULTS}")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or PARTS)
