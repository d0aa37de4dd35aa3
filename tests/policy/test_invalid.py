"""Every mistake in a policy is named with its path, its line and what to write instead.

``invalid/`` holds one broken file a mistake; ``invalid/expected.tsv`` says what must be found in each.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.errors import PolicyInvalid, UsageError
from blocklistd.reputation.policy.fields import KEYS
from blocklistd.reputation.policy.load import load_policy, read_policy

if TYPE_CHECKING:
    from collections.abc import Collection

    from blocklistd.errors import Problem

FOLDER = Path(__file__).with_name("invalid")
FEEDS = {"alpha", "beta"}


def expectations() -> dict[str, list[tuple[str, int, str]]]:
    found: dict[str, list[tuple[str, int, str]]] = {}
    with (FOLDER / "expected.tsv").open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            found.setdefault(row["file"], []).append((row["path"], int(row["line"]), row["message"]))
    return found


EXPECTED = expectations()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_mistake_is_named(name: str) -> None:
    """A broken file is refused with exactly the problems of the table: path, line and sentence."""
    with pytest.raises(PolicyInvalid) as caught:
        load_policy(FOLDER / f"{name}.yaml", FEEDS)
    found = [(problem.path, problem.line, problem.message) for problem in caught.value.problems]
    assert found == EXPECTED[name]


def test_table_and_folder_agree() -> None:
    """No broken file is without its expectation."""
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(EXPECTED)


def test_lines_point_at_the_mistake() -> None:
    """The line of a problem holds the key it names, so that an editor can jump there."""
    for name, problems in EXPECTED.items():
        lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
        for path, line, _ in problems:
            key = path.rpartition(".")[2]
            if "." in path and not path.endswith(("]", "…")):
                assert key in lines[line - 1], f"{name}: {path} is not on line {line}"


def test_files_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """What is no UTF-8, too large or not there is a mistake of its own."""
    path = tmp_path / "policy.yaml"
    with pytest.raises(UsageError, match="cannot read the policy"):
        load_policy(path)
    path.write_bytes(b"profiles:\n  default: {}\n# \xff\n")
    with pytest.raises(PolicyInvalid, match="line 3: is not UTF-8 text"):
        load_policy(path)
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(PolicyInvalid, match="is larger than 4MiB: that is no policy"):
        load_policy(path)


WORDS = st.sampled_from(
    ["default", "login", "other", "tor", "DE", "AS64500", "block", "open", "alpha", "1d", "192.0.2.0/24", ""]
)
NAMES = st.sampled_from([key for keys in KEYS.values() for key in keys] + ["default", "rules", "login", "unless"])
VALUES = st.recursive(
    st.one_of(WORDS, st.integers(-1, 101), st.booleans(), st.none(), st.floats(0, 1)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)),
    max_leaves=12,
)
RULES = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "when": st.dictionaries(NAMES, VALUES, max_size=3),
        "then": WORDS,
        "at_least": WORDS,
        "at_most": VALUES,
    },
)
PROFILES = st.fixed_dictionaries(
    {},
    optional={"bands": st.dictionaries(NAMES, st.integers(-1, 101)), "rules": st.lists(st.one_of(RULES, VALUES))},
)
DOCUMENTS = st.one_of(
    VALUES, st.fixed_dictionaries({"profiles": st.dictionaries(NAMES, st.one_of(PROFILES, VALUES), max_size=3)})
)


@given(DOCUMENTS)
def test_whatever_a_file_holds_it_is_read_or_refused(document: object) -> None:
    """No shape of a file breaks the reader: there is a policy, or a list of mistakes that is not empty."""
    text = yaml.safe_dump(document)
    profiles: Collection[str] = ()
    problems: Collection[Problem] = ()
    try:
        profiles = read_policy(text, "policy.yaml", FEEDS).profiles
    except PolicyInvalid as error:
        problems = error.problems
    assert problems or "default" in profiles
    assert all(0 <= problem.line <= text.count("\n") + 1 for problem in problems)
