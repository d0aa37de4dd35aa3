"""``blocklistd check`` names every mistake, or says in one line what the catalogue holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from blocklistd.cli import cli, main
from tests.reputation.test_databases import write

REPOSITORY = Path(__file__).resolve().parents[2]

GOOD = """
feeds:
  - {id: alpha, url: https://lists.example/1, format: lines, category: spam}
  - {id: beta, url: https://lists.example/2, format: lines, category: spam, terms: noncommercial}
  - {id: gamma, url: https://lists.example/3, format: lines, category: spam, enabled: false}
"""
BAD = """
feeds:
  - {id: alpha, url: https://lists.example/1, format: lines, category: spam, wieght: 3}
  - {id: alpha, url: https://lists.example/2, format: lines, category: spam}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.yaml"
    path.write_text(BAD)
    return path


POLICY = "policy.yaml: 5 profiles, 16 rules"
"""What is said of the shipped policy."""


def run(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["check", *arguments], env=environment)
    return result.exit_code, result.output


def test_good_catalogue_in_one_line(good: Path) -> None:
    """A good catalogue is counted in one line, exit status 0."""
    assert run("--config", str(good)) == (
        0,
        f"good.yaml: 3 feeds, 2 on (1 noncommercial, off with --use commercial), 1 off\n{POLICY}\n",
    )


def test_commercial_use_is_counted(good: Path) -> None:
    """With commercial use the line says how many feeds that setting switches off."""
    expected = (0, f"good.yaml: 3 feeds, 1 on, 2 off (1 by --use commercial)\n{POLICY}\n")
    assert run("--config", str(good), "--use", "commercial") == expected
    variables = {"BLOCKLISTD_CONFIG": str(good), "BLOCKLISTD_USE": "commercial"}
    assert run(environment=variables) == expected


def test_bad_catalogue_names_every_mistake(bad: Path) -> None:
    """All mistakes are printed with line and path, exit status 2."""
    status, output = run("--config", str(bad))
    assert status == 2
    assert output.splitlines() == [
        f"{bad}: 2 mistakes",
        "  line 3: feeds[0].wieght: unknown key: did you mean weight?",
        "  line 4: feeds[1].id: 'alpha' is taken by the feed on line 3",
        POLICY,
    ]


def test_json(good: Path, bad: Path) -> None:
    """For programs there is one object with the same facts."""
    status, output = run("--config", str(good), "--json")
    answer = json.loads(output)
    assert (status, answer["valid"], answer["problems"]) == (0, True, [])
    assert (answer["feeds"], answer["enabled"], answer["disabled"], answer["noncommercial"]) == (3, 2, 1, 1)
    status, output = run("--config", str(bad), "--json")
    answer = json.loads(output)
    assert (status, answer["valid"]) == (2, False)
    assert answer["problems"][0] == {
        "path": "feeds[0].wieght",
        "line": 3,
        "message": "unknown key: did you mean weight?",
    }


def test_exclude_of_a_feed_that_is_off_is_noted(good: Path) -> None:
    """An exclude that has no effect, because the excluded feed is off, is said aloud."""
    good.write_text(
        GOOD + "  - {id: delta, url: https://l.example/, format: lines, category: spam, exclude: [gamma]}\n"
    )
    status, output = run("--config", str(good))
    assert status == 0
    assert output.splitlines()[1] == "  note: delta excludes gamma, which is off: its ranges are not taken out"


def test_mistakes_of_both_files_are_named_at_once(bad: Path, tmp_path: Path) -> None:
    """A bad catalogue does not hide what is wrong with the policy; for programs the same stands below ``policy``."""
    policy = tmp_path / "policy.yaml"
    policy.write_text("profiles:\n  default: {fail: opn}\n")
    status, output = run("--config", str(bad), "--policy", str(policy))
    assert status == 2
    assert output.splitlines()[3:] == [
        f"{policy}: 1 mistake",
        "  line 2: profiles.default.fail: 'opn' is no fail mode: did you mean open?",
    ]
    status, output = run("--config", str(bad), "--policy", str(policy), "--json")
    answer = json.loads(output)
    assert (status, answer["valid"], answer["policy"]["valid"], len(answer["problems"])) == (2, False, False, 2)
    assert [problem["path"] for problem in answer["policy"]["problems"]] == ["profiles.default.fail"]


def test_rule_for_a_feed_that_does_not_exist_is_a_mistake(good: Path, tmp_path: Path) -> None:
    """Such a rule never holds; of a feed that is off it is said aloud, of one that is on nothing is."""
    policy = tmp_path / "policy.yaml"
    rule = "{name: listed, when: {feeds: [FEED]}, then: block}"
    text = f"profiles:\n  default:\n    shadow: true\n    rules:\n      - {rule}\n"
    policy.write_text(text.replace("FEED", "alpha"))
    status, output = run("--config", str(good), "--policy", str(policy))
    assert (status, output.splitlines()[1:]) == (0, ["policy.yaml: 1 profile, 1 rule, in shadow mode: default"])
    policy.write_text(text.replace("FEED", "gamma"))
    status, output = run("--config", str(good), "--policy", str(policy))
    assert (status, output.splitlines()[2]) == (
        0,
        "  note: profile default, rule 1 names the feed gamma, which is off",
    )
    policy.write_text(text.replace("FEED", "alpa"))
    status, output = run("--config", str(good), "--policy", str(policy), "--json")
    problem = {
        "path": "profiles.default.rules[0].when.feeds[0]",
        "line": 5,
        "message": "no feed has the id 'alpa': did you mean alpha?",
    }
    assert (status, json.loads(output)["policy"]["problems"]) == (2, [problem])


def test_policy_that_cannot_be_read(good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy that is not there is bad usage, and the catalogue is judged all the same."""
    with pytest.raises(SystemExit) as caught:
        main(["check", "--config", str(good), "--policy", str(tmp_path / "nowhere.yaml")])
    shown = capsys.readouterr()
    assert caught.value.code == 2
    assert "cannot read the policy" in shown.err
    assert shown.out.startswith("good.yaml: 3 feeds")


def test_single_feed_reads_well(good: Path) -> None:
    """One feed is not called feeds, and nothing is said about terms where none restrict."""
    good.write_text("feeds:\n  - {id: a, url: https://l.example/, format: lines, category: spam}\n")
    assert run("--config", str(good)) == (0, f"good.yaml: 1 feed, 1 on, 0 off\n{POLICY}\n")


def test_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is bad usage: exit status 2 and a sentence."""
    with pytest.raises(SystemExit) as caught:
        main(["check", "--config", str(tmp_path / "nowhere.yaml")])
    assert caught.value.code == 2
    assert "cannot read the catalogue" in capsys.readouterr().err


def test_missing_file_for_programs(tmp_path: Path) -> None:
    """With --json even a file that cannot be read is one object on standard output, exit status 2."""
    path = tmp_path / "nowhere.yaml"
    status, output = run("--config", str(path), "--json")
    message = f"cannot read the catalogue {path}: No such file or directory"
    assert status == 2
    answer = json.loads(output)
    assert answer.pop("policy")["valid"]
    assert answer == {
        "source": str(path),
        "valid": False,
        "problems": [{"path": "", "line": 0, "message": message}],
    }


def test_shipped_catalogue_through_the_real_program() -> None:
    """The installed command finds the shipped catalogue good."""
    done = subprocess.run(
        [sys.executable, "-m", "blocklistd", "check", "--config", "feeds.yaml"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("feeds.yaml: ")
    assert "noncommercial, off with --use commercial" in done.stdout


def test_bad_catalogue_through_the_real_program(bad: Path) -> None:
    """The exit status reaches the shell."""
    done = subprocess.run(
        [sys.executable, "-m", "blocklistd", "check", "--config", str(bad)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert "2 mistakes" in done.stdout


def test_databases_are_opened(good: Path, tmp_path: Path) -> None:
    """A good database passes, one that cannot be used is named; several may be given, blanks in their paths too."""
    places = write(tmp_path / "own places.mmdb", {"192.0.2.0/24": {"country_code": "DE"}})
    assert run("--config", str(good), "--mmdb", str(places))[0] == 0
    broken = tmp_path / "broken.mmdb"
    broken.write_text("<html>")
    status, output = run("--config", str(good), "--mmdb", str(places), "--mmdb", str(broken))
    assert status == 2
    assert f"--mmdb {broken}: not a MaxMind DB file" in output
    assert str(places) not in output
    status, output = run("--config", str(good), "--json", "--mmdb", str(places), "--mmdb", str(broken))
    answer = json.loads(output)
    assert (status, answer["valid"], answer["mmdb"]["valid"]) == (2, False, False)
    assert answer["mmdb"]["source"] == [str(places), str(broken)]
    assert str(broken) in answer["mmdb"]["problems"][0]["message"]


def test_the_daemon_does_not_start_with_a_database_that_cannot_be_used(tmp_path: Path) -> None:
    """It says which one and ends with status 2, before it listens."""
    absent = tmp_path / "absent.mmdb"
    command = [sys.executable, "-m", "blocklistd", "serve", "--data", str(tmp_path), "--mmdb", str(absent)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (
        2,
        f"blocklistd: --mmdb {absent}: cannot be read: No such file or directory\n",
    )
