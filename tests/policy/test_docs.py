"""docs/policy.md says what the program knows."""

from __future__ import annotations

from pathlib import Path

from blocklistd.catalogue.document import read_document
from blocklistd.reputation.policy.fields import KEYS, SETS
from blocklistd.reputation.policy.load import load_policy, read_policy
from blocklistd.reputation.policy.model import SUPPRESSED_BY_DEFAULT
from blocklistd.reputation.report import FLAGS
from blocklistd.settings import SHIPPED_POLICY

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "policy.md").read_text()


def rows(first: str) -> list[list[str]]:
    """The body of the table whose first column has this heading."""
    lines = PAGE.partition(f"\n| {first} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def blocks(language: str) -> list[str]:
    return [part.partition("```")[0] for part in PAGE.split(f"```{language}\n")[1:]]


def test_every_key_is_documented() -> None:
    """Of profiles and conditions, in the order of the program."""
    assert [row[0] for row in rows("key of a profile")] == [f"`{key}`" for key in KEYS["profiles"]]
    assert [row[0] for row in rows("key of `when`")] == [f"`{key}`" for key in KEYS["when"]]
    assert rows("key of `when`")[0][1].startswith(f"`{' '.join(FLAGS)}`")


def test_every_suppressed_set_is_documented_with_its_default() -> None:
    """And nothing else is said to be suppressed by default."""
    documented = {row[0].strip("`"): row[1] for row in rows("entry of `suppress`")}
    assert list(documented)[: len(SETS)] == list(SETS)
    assert {name for name, default in documented.items() if default == "yes"} == set(SUPPRESSED_BY_DEFAULT)


def test_profiles_are_documented_as_they_are_shipped() -> None:
    """Name, bands and fail mode of each."""
    found = [
        [f"`{name}`", ", ".join(str(band.first) for band in profile.bands[1:]), profile.fail]
        for name, profile in load_policy(SHIPPED_POLICY).profiles.items()
    ]
    assert [row[:3] for row in rows("profile")] == found


def test_examples_are_right() -> None:
    """What is copied from the page is accepted."""
    rules, log = blocks("yaml")
    assert not read_document(rules).problems
    indented = "".join(f"    {line}\n" for line in rules.splitlines())
    policy = read_policy(f"profiles:\n  default:\n{indented}{log}", "docs", ())
    assert policy.profile("default").rules[0].name == "hosting abroad"
    assert policy.decision_log.enabled
