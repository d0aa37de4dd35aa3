"""``blocklistd report`` as a shell sees it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd.web.openapi import SCHEMAS
from tests.cli.test_commands import run
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED: dict[str, dict[str, Any]] = {
    "exits": {"category": "tor", "weight": 40},
    "attacks": {"weight": 30},
}
POLICY = """
profiles:
  default:
    bands: {flag: 20, challenge: 45, block: 80}
    fail: open
    shadow: false
  trial:
    bands: {block: 10}
    fail: closed
    shadow: true
suppress: []
"""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    make_snapshot(
        tmp_path / "data",
        {"exits": ["192.0.2.1"], "attacks": ["192.0.2.0/24"]},
        systems={"192.0.2.0/24": (64500, "EXAMPLE \x1b[31mUniversity")},
        countries={"192.0.2.0/24": "DE"},
        described=DESCRIBED,
    )
    (tmp_path / "policy.yaml").write_text(POLICY)
    return {"BLOCKLISTD_DATA": str(tmp_path / "data"), "BLOCKLISTD_POLICY": str(tmp_path / "policy.yaml")}


def test_a_person_reads_verdict_arithmetic_and_origin(settings: dict[str, Any]) -> None:
    """Every list with its share, the sum, the origin without control characters, the verdict and what decided."""
    result = run("report", "192.0.2.1", "192.0.3.1", **settings)
    first, second = (part.splitlines() for part in result.stdout.split("\n\n"))
    assert first[0] == "192.0.2.1  challenge, score 58"
    assert first[1] == "  decided by  band 45-79, profile default"
    assert [line.split()[:3] for line in first[2:5]] == [
        ["lists", "40", "exits"],
        ["+", "18", "attacks"],
        ["=", "58"],
    ]
    assert "192.0.2.1/32" in first[2]
    assert "192.0.2.0/24" in first[3]
    assert "  flags       tor, attacker, anonymous, bogon" in first
    assert "  origin      AS64500 EXAMPLE \\x1b[31mUniversity, DE" in first
    assert second[0] == "192.0.3.1  allow, score 0"
    assert "  lists       none names it" in second
    assert result.returncode == 0


def test_machines_read_what_http_answers(settings: dict[str, Any]) -> None:
    """With --json one object a line, in the shape of the contract; a bad address makes the status 2."""
    result = run("report", "--json", "--profile", "trial", "192.0.2.1", "192.0.2", **settings)
    (line,) = result.stdout.splitlines()
    document = json.loads(line)
    assert set(document) == set(SCHEMAS["IpReport"]["properties"])
    assert (document["verdict"], document["would"], document["fail"]) == ("allow", "block", "closed")
    assert "192.0.2" in result.stderr
    assert result.returncode == 2


def test_the_operators_word_counts(settings: dict[str, Any]) -> None:
    """An override of the data folder applies at once, and the report says whose it is and why."""
    assert run("override", "deny", "192.0.2.1", "--reason", "ticket 7", "--author", "ops", **settings).returncode == 0
    lines = run("report", "192.0.2.1", **settings).stdout.splitlines()
    assert lines[0] == "192.0.2.1  block, score 100"
    assert "  override    deny 192.0.2.1: ticket 7 (ops)" in lines
    assert any(line.split() == ["=", "58,", "but", "100", "counts"] for line in lines)


def test_trouble_is_told(settings: dict[str, Any], tmp_path: Path) -> None:
    """An unknown profile and a folder without a snapshot: a sentence and status 2."""
    unknown = run("report", "--profile", "nobody", "192.0.2.1", **settings)
    assert "default, trial" in unknown.stderr
    assert unknown.returncode == 2
    empty = run("report", "192.0.2.1", **{**settings, "BLOCKLISTD_DATA": str(tmp_path / "none")})
    assert "run blocklistd refresh" in empty.stderr
    assert empty.returncode == 2
