"""bench/results.json → docs/performance.svg: four pictures of what was measured, each beside its peers.

    python -m bench plots

A picture whose part was not measured is left out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes

PICTURE: Final = Path(__file__).parent.parent / "docs" / "performance.svg"
OURS: Final = {"compiled": "#1f77b4", "pure": "#8fbfe0"}
THEIRS: Final = "#b0b0b0"
SCALES: Final = {"k": 1e3, "M": 1e6}

Rows = list[dict[str, Any]]


def draw(parts: Mapping[str, Mapping[str, Any]]) -> Path:
    """Draw what is there; parts: those of results.json. Gives the file."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "blocklistd"  # the same figures give the same file
    from matplotlib import pyplot as plt

    pictures: dict[str, Callable[[Axes, Rows], None]] = {
        "http": _requests,
        "library": _lookups,
        "union": _compile,
        "growth": _growth,
    }
    there = [name for name in pictures if name in parts]
    figure, places = plt.subplots(len(there), 1, figsize=(8, 2.6 * len(there)), squeeze=False)
    for name, place in zip(there, places[:, 0], strict=True):
        pictures[name](place, parts[name]["rows"])
        place.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(PICTURE, metadata={"Date": None})
    return PICTURE


def _bars(place: Axes, title: str, unit: str, values: Sequence[tuple[str, float]]) -> None:
    names = [name for name, _ in values]
    colours = [next((OURS[kind] for kind in OURS if kind in name), THEIRS) for name in names]
    drawn = place.barh(names, [value for _, value in values], color=colours)
    place.bar_label(drawn, fmt=lambda value: f"{value:,.0f}" if value >= 100 else f"{value:.3g}", padding=3)
    place.invert_yaxis()
    place.margins(x=0.12)
    place.set_title(title, loc="left", fontsize=10)
    place.set_xlabel(unit)


def _requests(place: Axes, rows: Rows) -> None:
    beginning = "32 connections, "
    found = [
        (row["name"].removeprefix(beginning), row["value"])
        for row in rows
        if row["name"].startswith(beginning) and row["unit"] == "/s"
    ]
    _bars(place, "GET /v1/ip, 32 connections, one worker on one core", "requests a second", found)


def _lookups(place: Axes, rows: Rows) -> None:
    found = [
        (row["name"].removeprefix("lookup, ").replace(" text", ""), row["value"])
        for row in rows
        if row["name"].startswith("lookup, ")
    ]
    _bars(place, "One lookup from a text, 1.2 million IPv4 segments", "µs", found)


def _compile(place: Axes, rows: Rows) -> None:
    found = [(row["name"], row["value"]) for row in rows if row["unit"] == "ms"]
    _bars(place, "Compile all plain IPv4 lists (2.1 million lines)", "ms of processor time", found)


def _growth(place: Axes, rows: Rows) -> None:
    for what, style in (("cold compile", "-"), ("lookup", "--")):
        for kind, colour in OURS.items():
            points = sorted(
                (float(match[1]) * SCALES[match[2]], row["value"])
                for row in rows
                if (match := re.fullmatch(rf"([\d.]+) ?([kM]) segments, {what}: {kind}", row["name"]))
            )
            unit = "ms" if what == "cold compile" else "µs"
            place.loglog(*zip(*points, strict=True), style, color=colour, marker="o", label=f"{what}, {kind} ({unit})")
    place.set_title("Growth", loc="left", fontsize=10)
    place.set_xlabel("segments")
    place.legend(fontsize=8, frameon=False)
