"""The documentation of operations says what the program knows."""

from __future__ import annotations

from pathlib import Path

from blocklistd.metrics import METRICS
from blocklistd.settings import SETTINGS

OPERATIONS = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """The body of the first table under a heading."""
    section = OPERATIONS.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    table = lines[: next((n for n, line in enumerate(lines) if n > 2 and line.startswith("|---")), len(lines))]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of settings is the table of the program, row by row."""
    expected = [[f"`{s.flag}`", f"`{s.variable}`", f"`{s.default}`" if s.default else "", s.sentence] for s in SETTINGS]
    assert rows("Settings") == expected


def test_every_metric_is_documented() -> None:
    """The table of metrics is the table of the program, row by row."""
    expected = [[f"`{m.name}`", m.kind, ", ".join(f"`{label}`" for label in m.labels), m.sentence] for m in METRICS]
    assert rows("Metrics") == expected


def test_every_unit_is_named() -> None:
    """Who reads the page finds each file of systemd/."""
    units = (Path(__file__).resolve().parents[2] / "systemd").iterdir()
    assert all(f"`{unit.name}`" in OPERATIONS for unit in units)
