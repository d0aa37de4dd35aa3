"""The commands as a shell sees them: output, standard error, exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from blocklistd.cli import COMMANDS
from blocklistd.cli.progress import print_report
from blocklistd.refresh.report import FeedResult, RefreshReport
from blocklistd.web.openapi import SCHEMAS
from tests.support import make_snapshot

if TYPE_CHECKING:
    from pathlib import Path


def run(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the real program."""
    return subprocess.run(
        [sys.executable, "-m", "blocklistd", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> str:
    make_snapshot(tmp_path, {"one": ["192.0.2.0/24", "2001:db8::/32"], "two": ["192.0.2.7"]})
    return str(tmp_path)


def catalogue(folder: Path, text: str = "192.0.2.7\n", **fields: str) -> Path:
    """A catalogue of one feed over a local list."""
    (folder / "list.txt").write_text(text)
    rows = "".join(f"    {name}: {value}\n" for name, value in fields.items())
    path = folder / "feeds.yaml"
    path.write_text(
        f"feeds:\n  - id: mine\n    url: file://{folder}/list.txt\n    format: lines\n    category: attacker\n{rows}",
    )
    return path


def test_lookup_exits_as_grep_does(data: str) -> None:
    """0 where some address is listed, 1 where none is, 2 for trouble."""
    listed = run("lookup", "--data", data, "192.0.2.7", "198.51.100.1")
    assert (listed.returncode, listed.stdout) == (0, "192.0.2.7  one, two\n198.51.100.1  not listed\n")
    assert run("lookup", "--data", data, "198.51.100.1").returncode == 1
    assert run("lookup", "--data", data, "192.0.2.7", "nonsense").returncode == 2


def test_lookup_in_a_folder_that_cannot_be_read_is_trouble(tmp_path: Path) -> None:
    """Status 1 would mean that nobody is listed."""
    (tmp_path / "current").mkdir()
    result = run("lookup", "--data", str(tmp_path), "192.0.2.7")
    assert (result.returncode, result.stdout) == (2, "")
    assert "cannot read" in result.stderr


def test_lookup_reads_standard_input_and_can_keep_only_what_is_listed(data: str) -> None:
    """One address a line, blanks around it and empty lines ignored; IPv6 is printed canonically."""
    result = run("lookup", "--data", data, "--listed", stdin=" 2001:DB8:0::1 \n\n198.51.100.1\n192.0.2.9\n")
    assert result.stdout == "2001:db8::1  one\n192.0.2.9  one\n"


def test_one_bad_line_does_not_hide_the_others(data: str) -> None:
    """A malformed address is told on standard error, everything else is answered."""
    result = run("lookup", "--data", data, stdin="192.0.2.9\n192.0.2.300\n192.0.2.7\n")
    assert result.stdout == "192.0.2.9  one\n192.0.2.7  one, two\n"
    assert "192.0.2.300" in result.stderr
    assert result.returncode == 2


def test_lookup_gives_json_and_networks(data: str) -> None:
    """One object a line, with the network in which each list names the address."""
    result = run("lookup", "--data", data, "--json", "--networks", "192.0.2.7")
    assert json.loads(result.stdout) == {
        "ip": "192.0.2.7",
        "listed": True,
        "feeds": ["one", "two"],
        "networks": {"one": "192.0.2.0/24", "two": "192.0.2.7/32"},
    }


def test_a_reader_that_has_seen_enough_is_no_error(data: str) -> None:
    """`lookup | head` ends quietly."""
    addresses = "192.0.2.7\n" * 50_000
    command = f"{sys.executable} -m blocklistd lookup --data {data} | head -n 1"
    result = subprocess.run(
        ["sh", "-c", command], input=addresses, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.stdout == "192.0.2.7  one, two\n"
    assert result.stderr == ""


def test_lookup_answers_what_has_come_while_the_writer_is_still_there(data: str) -> None:
    """On a pipe each address is answered as it arrives, not when the pipe ends."""
    command = [sys.executable, "-m", "blocklistd", "lookup", "--data", data]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("192.0.2.7\n")
        process.stdin.flush()
        assert process.stdout.readline() == "192.0.2.7  one, two\n"
        process.stdin.close()
        assert process.wait(30) == 0


def test_without_a_snapshot_lookup_says_what_to_do(tmp_path: Path) -> None:
    """The error names the next command."""
    result = run("lookup", "--data", str(tmp_path), "192.0.2.7")
    assert result.returncode == 2
    assert "blocklistd refresh" in result.stderr
    assert "Traceback" not in result.stderr


def test_refresh_ends_with_a_table_and_lines_for_logs(tmp_path: Path) -> None:
    """What happened stands in a table on standard output, progress on standard error."""
    config = catalogue(tmp_path)
    result = run("refresh", "--config", str(config), "--data", str(tmp_path / "data"))
    assert result.returncode == 0, result.stderr
    rows = result.stdout.splitlines()
    assert rows[0].split() == ["FEED", "STATE", "ENTRIES", "CHANGE", "BYTES", "TIME", "REASON"]
    assert rows[1].split()[:4] == ["mine", "updated", "1", "+1"]
    assert rows[2].startswith("published snapshot")
    assert "mine: updated, 1 entry" in result.stderr


def test_refresh_fails_as_a_whole_where_nothing_could_be_brought_in(tmp_path: Path) -> None:
    """Status 1, the reason of each feed in the table, and the error in the JSON report."""
    config = catalogue(tmp_path)
    (tmp_path / "list.txt").unlink()
    result = run("refresh", "--config", str(config), "--data", str(tmp_path / "data"))
    assert result.returncode == 1
    assert "failed" in result.stdout
    again = run("refresh", "--json", "--force", "--config", str(config), "--data", str(tmp_path / "data"))
    report = json.loads(again.stdout)
    assert again.returncode == 1
    assert report["error"]
    assert report["feeds"][0]["state"] == "failed"
    assert report["feeds"][0]["reason"]


def test_refresh_of_named_feeds_shows_those_and_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """The other hundred are no news; what is in quarantine is told with the next step."""
    asked = FeedResult("asked", "quarantined", 9, 0, 5, 0.1, "has lost 60 % of 300 entries")
    quiet = FeedResult("quiet", "not due", 9, 0, 0, 0.0, "not asked")
    moved = FeedResult("moved", "not due", 9, -2, 0, 0.0, "not asked")
    report = RefreshReport(1.0, 2.0, "an id", published=False, feeds=(asked, quiet, moved))
    print_report(report, as_json=False, names=("asked",))
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["FEED", "asked", "moved", "nothing"]
    assert "blocklistd feeds" in said.err
    print_report(report, as_json=False)
    assert "quiet" in capsys.readouterr().out


def test_refresh_obeys_the_floor_even_when_forced(tmp_path: Path) -> None:
    """A second pass within the floor asks nothing, in a new process and with --force."""
    config = catalogue(tmp_path, floor="1h")
    arguments = ("refresh", "--json", "--config", str(config), "--data", str(tmp_path / "data"))
    assert json.loads(run(*arguments).stdout)["feeds"][0]["state"] == "updated"
    again = json.loads(run(*arguments, "--force").stdout)["feeds"][0]
    assert again["state"] == "not due"
    assert "1h" in again["reason"]


def test_refresh_refuses_wrong_names_and_wrong_catalogues(tmp_path: Path) -> None:
    """Status 2 and every mistake, before anything is fetched."""
    config = catalogue(tmp_path)
    result = run("refresh", "--config", str(config), "--data", str(tmp_path / "data"), "nope")
    assert result.returncode == 2
    assert "nope" in result.stderr
    config.write_text("feeds:\n  - id: Bad Id\n    url: gopher://x\n")
    result = run("refresh", "--config", str(config), "--data", str(tmp_path / "data"))
    assert result.returncode == 2
    assert "line 2" in result.stderr
    assert "line 3" in result.stderr
    assert not (tmp_path / "data").exists()


def test_feeds_shows_state_reason_and_age(tmp_path: Path) -> None:
    """Before any refresh a feed was never fetched; afterwards its entries and state stand there."""
    config = catalogue(tmp_path)
    arguments = ("feeds", "--json", "--config", str(config), "--data", str(tmp_path / "data"))
    before = json.loads(run(*arguments).stdout)[0]
    assert (before["state"], before["entries"], before["age_seconds"]) == ("never", 0, None)
    run("refresh", "--config", str(config), "--data", str(tmp_path / "data"))
    (tmp_path / "list.txt").write_text("<html>")
    run("refresh", "--force", "--config", str(config), "--data", str(tmp_path / "data"))
    after = json.loads(run(*arguments).stdout)[0]
    assert (after["state"], after["entries"]) == ("refused", 1)
    assert "HTML" in after["reason"]


def test_feeds_prints_what_http_says(tmp_path: Path) -> None:
    """The objects are those of /v1/feeds, entries are distinct ones, and feeds that are off are shown on demand."""
    config = catalogue(tmp_path, text="192.0.2.7\n192.0.2.7\n192.0.2.8\n")
    off = (
        "  - {id: other, title: Other, url: 'https://lists.example/o', format: lines, category: tor, enabled: false}\n"
    )
    config.write_text(config.read_text() + off)
    arguments = ("--config", str(config), "--data", str(tmp_path / "data"))
    run("refresh", *arguments)
    (mine,) = json.loads(run("feeds", "--json", *arguments).stdout)
    assert set(mine) == {*SCHEMAS["Feed"]["properties"], "enabled"}
    assert (mine["id"], mine["entries"], mine["lines"], mine["state"]) == ("mine", 2, 3, "updated")
    both = json.loads(run("feeds", "--json", "--all", *arguments).stdout)
    assert [(feed["id"], feed["enabled"], feed["state"]) for feed in both] == [
        ("mine", True, "updated"),
        ("other", False, "never"),
    ]
    assert both[1]["title"] == "Other"
    table = run("feeds", "--all", *arguments).stdout.splitlines()
    assert [row.split()[:4] for row in table[1:]] == [
        ["mine", "attacker", "updated", "2"],
        ["other", "tor", "off", "0"],
    ]
    assert run("feeds", *arguments, "other").stdout.count("\n") == 2


def test_feeds_names_a_feed_that_does_not_exist(tmp_path: Path) -> None:
    """A misspelt name is bad usage and said."""
    config = catalogue(tmp_path)
    result = run("feeds", "--config", str(config), "--data", str(tmp_path), "yours")
    assert result.returncode == 2
    assert "yours" in result.stderr


def test_a_wrong_setting_names_its_flag_or_variable(tmp_path: Path) -> None:
    """Status 2 and the place to mend it, from a flag and from the environment."""
    config = catalogue(tmp_path)
    flag = run("refresh", "--config", str(config), "--keep-snapshots", "none")
    assert flag.returncode == 2
    assert "--keep-snapshots" in flag.stderr
    variable = run("refresh", "--config", str(config), BLOCKLISTD_KEEP_SNAPSHOTS="none")
    assert variable.returncode == 2
    assert "BLOCKLISTD_KEEP_SNAPSHOTS" in variable.stderr


def test_every_command_has_help_with_examples() -> None:
    """--help of each command ends well and shows examples."""
    for name in COMMANDS:
        result = run(name, "--help")
        assert result.returncode == 0, name
        assert "Examples" in result.stdout, name
    assert all(name in run("--help").stdout for name in COMMANDS)


def test_an_unknown_command_is_bad_usage() -> None:
    """Status 2, no trace of Python."""
    result = run("lokup", "192.0.2.7")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
