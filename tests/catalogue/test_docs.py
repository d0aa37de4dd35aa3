"""docs/feeds.md says everything there is to say about a catalogue, and what it shows is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml

from blocklistd.catalogue import Feed, load_catalogue, read_catalogue
from blocklistd.catalogue.feed import OPTIONS, Category, Format, Kind, Role, Terms
from blocklistd.cli.check import count_feeds, describe

REPOSITORY = Path(__file__).resolve().parents[2]
TEXT = (REPOSITORY / "docs" / "feeds.md").read_text()
ROWS = set(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE))


def section(heading: str) -> str:
    """The text under a heading, up to the next one of any level."""
    found = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/feeds.md has no heading {heading}"
    return found[1]


@pytest.mark.parametrize("field", ["url", *Feed.model_fields])
def test_every_field_has_its_row(field: str) -> None:
    """Each key a feed may have is explained in the table of fields."""
    assert f"\n| `{field}` |" in section("Fields")


@pytest.mark.parametrize("name", get_args(Format))
def test_every_format_has_its_heading(name: str) -> None:
    """Each format is explained with an example of itself and all of its options."""
    text = section(name)
    assert f"format: {name}" in text
    for option in OPTIONS[name] if name != "ndjson" else ():
        assert f"`{option}`" in text


@pytest.mark.parametrize("name", [*get_args(Kind), *get_args(Role), *get_args(Terms)])
def test_every_word_has_its_row(name: str) -> None:
    """Kinds, roles and terms are explained one by one."""
    assert name in ROWS


@pytest.mark.parametrize("name", get_args(Category))
def test_every_category_is_named(name: str) -> None:
    """Each category stands in its section."""
    assert f"`{name}`" in section("Categories")


@pytest.mark.parametrize("name", get_args(Format))
def test_examples_are_good_catalogues(name: str) -> None:
    """What the page shows can be copied: every example of a format loads."""
    block = re.search(r"```yaml\n(.*?)```", section(name), re.DOTALL)
    assert block is not None
    assert read_catalogue("feeds:\n" + block[1], "docs/feeds.md").feeds


def test_first_example_is_a_good_catalogue() -> None:
    """The list of four fields loads, also with the fields that follow it."""
    first, second = re.findall(r"```yaml\n(.*?)```", section("Add a list"), re.DOTALL)
    assert len(read_catalogue(first, "docs/feeds.md").feeds) == 1
    assert read_catalogue(first + second, "docs/feeds.md").feeds[0].keep == 7 * 86400
    assert set(yaml.safe_load(first)["feeds"][0]) == {"id", "url", "format", "category"}


def test_shown_session_is_true() -> None:
    """The line that ``blocklistd check`` is said to print is the one it prints for the shipped catalogue."""
    counts = count_feeds(load_catalogue(REPOSITORY / "feeds.yaml"), "noncommercial")
    assert f"\nfeeds.yaml: {describe(counts)}\n" in TEXT


def test_shipped_lists_named_here_exist() -> None:
    """Every id in the table of shipped lists is in the catalogue, on or off as the column says."""
    feeds = load_catalogue(REPOSITORY / "feeds.yaml").by_id
    for row in re.findall(r"^\| (?!family)[^|]*\|([^|]*)\|([^|]*)\|$", section("The shipped lists"), re.MULTILINE):
        for column, enabled in zip(row, (True, False), strict=True):
            for feed_id in re.findall(r"`(\w+)`", column):
                assert feeds[feed_id].enabled is enabled, feed_id
