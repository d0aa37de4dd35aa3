"""Golden cases: one folder a case, ``tests/golden/formats/<format>/<case>/{input.*, feed.yaml, expected.yaml}``.

``expected.yaml`` holds what a reader of the input would say by hand: the entries with their columns, the refused
lines, and the counts that are not zero (``special`` is left out: documentation addresses are special-use throughout).
Every input is read as of ``NOW``.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from blocklistd.addresses import format_address, networks_of
from blocklistd.catalogue.feed import Feed, Format
from blocklistd.collect.formats import FORMATS
from blocklistd.collect.model import Networks, ParsedFeed
from blocklistd.collect.parse import parse_feed
from blocklistd.collect.tally import TEXT_ROLES

GOLDEN = Path(__file__).resolve().parents[1] / "golden/formats"
NOW = 1767323400.0
"""2026-01-02 03:10:00 UTC."""
CASES = sorted(path.parent.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/*/feed.yaml"))


def entries(networks: Networks, texts: tuple[str, ...]) -> list[str]:
    """Each entry as a network, or a range where it is none, with its columns."""
    shown: list[str] = []
    for row, (first, last) in enumerate(zip(networks.first.tolist(), networks.last.tolist(), strict=True)):
        if networks.family == 6:
            first, last = (half[0] << 64 | half[1] for half in (first, last))  # noqa: PLW2901
        cidrs = networks_of(networks.family, first, last)
        span = "-".join(format_address(networks.family, value) for value in (first, last))
        columns = [
            f"{role}={texts[column[row]] if role in TEXT_ROLES else column[row]}"
            for role, column in networks.columns.items()
        ]
        shown.append(" ".join([cidrs[0] if len(cidrs) == 1 else span, *columns]))
    return shown


def describe(parsed: ParsedFeed) -> dict[str, Any]:
    """What a parsed feed says, as ``expected.yaml`` writes it; empty parts left out."""
    counts = {
        name: getattr(parsed.counts, name) for name in ("entries", "unique", "rejected", "below_minimum", "masked")
    }
    parts = {
        "v4": entries(parsed.v4, parsed.texts),
        "v6": entries(parsed.v6, parsed.texts),
        "asns": parsed.asns.tolist(),
        "domains": list(parsed.domains),
        "emails": list(parsed.emails),
        "counts": {name: count for name, count in counts.items() if count},
        "rejects": [[refused.line, refused.text, refused.reason] for refused in parsed.rejects],
        "declared": parsed.declared,
        "dated": parsed.dated,
    }
    return {name: part for name, part in parts.items() if part}


def input_of(case: Path, scratch: Path) -> Path:
    """The input file; an SQL script stands for the database that it makes."""
    (source,) = case.glob("input.*")
    if source.suffix != ".sql":
        return source
    with closing(sqlite3.connect(scratch / "database")) as database:
        database.executescript(source.read_text())
    return scratch / "database"


@pytest.mark.parametrize("case", CASES)
def test_a_golden_input_gives_what_is_expected(case: str, tmp_path: Path) -> None:
    """The input of the folder, read as its feed.yaml says, is its expected.yaml."""
    options = yaml.safe_load((GOLDEN / case / "feed.yaml").read_text())
    feed = Feed.model_validate({"id": "golden", "urls": ["https://example.org/"]} | options)
    expected = yaml.safe_load((GOLDEN / case / "expected.yaml").read_text())
    assert describe(parse_feed(feed, [input_of(GOLDEN / case, tmp_path)], NOW)) == expected


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_golden_case(name: str) -> None:
    """A format without a case is not finished."""
    assert any(case.startswith(f"{name}/") for case in CASES)


def test_the_table_holds_every_format_of_the_catalogue() -> None:
    """What feeds.yaml may name is what can be read."""
    assert list(FORMATS) == list(get_args(Format))
