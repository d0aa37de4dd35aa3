"""``blocklistd feeds``: what is in quarantine, and deciding about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from blocklistd.cli import main
from blocklistd.collect.state import FeedState, Held, Part, bodies, write_state
from blocklistd.state.audit import local_actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.quarantine import decided

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalogue of the feeds mine and other; mine holds a version in quarantine."""
    (tmp_path / "feeds.yaml").write_text(
        "feeds:\n"
        "  - {id: mine, url: 'https://lists.example/a', format: lines, category: attacker}\n"
        "  - {id: other, url: 'https://lists.example/b', format: lines, category: attacker}\n"
    )
    data = tmp_path / "data"
    part = Part("https://lists.example/a", bodies(data) / f"mine.0.{DIGEST[:16]}.body", 12, DIGEST)
    held = Held((part,), DIGEST, "shrink", "has lost 60 % of 300 entries", 120, 1_700_000_000.0, 1_700_000_000.0)
    write_state(data, FeedState("mine", outcome="failed", reason="HTTP 503", succeeded_at=1.0, held=held))
    return tmp_path


def call(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run ``blocklistd feeds`` in this process: exit status, output, standard error."""
    shows = not {"accept", "reject"} & set(arguments)
    config = ("--config", str(folder / "feeds.yaml")) if shows else ()
    with pytest.raises(SystemExit) as ended:
        main(["feeds", *arguments, *config, "--data", str(folder / "data")])
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def test_a_feed_in_quarantine_says_so_whatever_came_after(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A later failure does not hide that somebody has to decide."""
    _, table, said = call(folder, capsys, "mine")
    assert "failed, quarantined" in table
    assert "mine: 120 entries of 2023-11-14T22:13:20Z wait in " in said
    assert "blocklistd feeds accept mine --reason TEXT, or reject" in said
    (mine,) = json.loads(call(folder, capsys, "mine", "--json")[1])
    assert mine["quarantine"]["reason"] == "has lost 60 % of 300 entries"


def test_a_feed_that_is_taken_out_says_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who wonders why a list has no effect finds the override where the list is shown."""
    with pytest.raises(SystemExit):
        main(["override", "allow", "feed:other", "--reason", "names us", "--author", "ann", "--data", f"{folder}/data"])
    assert "other: counts for nothing, by the override of ann: names us" in call(folder, capsys)[2]
    assert "counts for nothing" not in call(folder, capsys, "mine")[2]


@pytest.mark.parametrize("choice", ["accept", "reject"])
def test_a_decision_is_kept_with_reason_and_author(
    folder: Path, capsys: pytest.CaptureFixture[str], choice: str
) -> None:
    """About that very body, in the audit log too; who was wrong may decide again."""
    other = {"accept": "reject", "reject": "accept"}[choice]
    assert call(folder, capsys, other, "mine", "--reason", "a first look")[0] == 0
    status, said, _ = call(folder, capsys, choice, "mine", "--reason", " they told us ")
    assert status == 0
    assert said == (
        f"mine: the version of 2023-11-14T22:13:20Z with 120 entries is {choice}ed; "
        "the next refresh heeds it; to have it now: blocklistd refresh mine\n"
    )
    assert f"mine: {choice}ed by {local_actor().name}, the next refresh heeds it" in call(folder, capsys)[2]
    with Database.open(folder / "data") as database:
        found = decided(database, "mine", DIGEST)
        acts = read_acts(database, 10)
        assert decided(database, "mine", DIGEST[::-1]) is None
        assert decided(database, "other", DIGEST) is None
    assert found is not None
    assert (found.decision, found.note, found.author) == (choice, "they told us", local_actor().name)
    assert [act.action for act in acts] == [f"quarantine.{choice}", f"quarantine.{other}"]
    assert acts[0].subject == "mine"
    assert "they told us" in acts[0].detail


@pytest.mark.parametrize("feed", ["other", "nobody", "../mine", "bogons"])
def test_there_is_nothing_to_decide_where_nothing_is_held(
    folder: Path, capsys: pytest.CaptureFixture[str], feed: str
) -> None:
    """Bad usage, and no decision is put down."""
    status, _, said = call(folder, capsys, "accept", feed, "--reason", "why not")
    assert status == 2
    assert "holds no version in quarantine" in said
    assert not (folder / "data" / "state.db").exists()


def test_a_decision_needs_a_reason(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who reads the log later wants to know why."""
    assert call(folder, capsys, "accept", "mine")[0] == 2
    status, _, said = call(folder, capsys, "reject", "mine", "--reason", "  ")
    assert status == 2
    assert "say why" in said


def test_help_names_both_ways(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The overview shows the commands; the options of showing stand under show."""
    with pytest.raises(SystemExit):
        main(["feeds", "--help"])
    overview = capsys.readouterr().out
    assert all(word in overview for word in ("accept", "reject", "show", "Examples"))
    assert "--json" in call(folder, capsys, "show", "--help")[1]
