"""The units: systemd accepts them, they are shut tight, and every directive is explained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = sorted((Path(__file__).resolve().parents[1] / "systemd").iterdir())
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]
PROGRAM = "/opt/blocklistd/.venv/bin/blocklistd"
needs_analyze = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def directives(unit: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


@needs_analyze
def test_systemd_accepts_every_unit(tmp_path: Path) -> None:
    """``systemd-analyze verify`` finds nothing to say, with a program that exists in the place of ours."""
    for unit in UNITS:
        (tmp_path / unit.name).write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
    done = analyze("verify", *(str(path) for path in sorted(tmp_path.iterdir())))
    complaints = [line for line in done.stderr.splitlines() if "blocklistd" in line]
    assert (done.returncode, complaints) == (0, [])


@needs_analyze
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_every_service_is_shut_tight(unit: Path) -> None:
    """``systemd-analyze security`` rates the exposure of each service below 2.0 of 10."""
    done = analyze("security", "--offline=true", "--threshold=20", str(unit))
    match = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert match is not None, done.stdout + done.stderr
    assert float(match[1]) < 2.0
    assert done.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_every_directive_is_explained(unit: Path) -> None:
    """Each directive of a section stands under a comment, alone or in a small group; only names need none."""
    explained = False
    group = 0
    for line in unit.read_text().splitlines():
        if line.startswith("#"):
            explained, group = True, 0
        elif not line or line.startswith("["):
            explained = False
        elif line.partition("=")[0] not in {"Description", "EnvironmentFile", "ExecStart", "WantedBy", "Also"}:
            group += 1
            assert explained, line
            assert group <= 7, line


@needs_analyze
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_no_system_call_is_let_through_that_was_not_taken_away(unit: Path) -> None:
    """A call named by itself gives back what a group took; any other would be there for nothing."""
    words = [word for line in directives(unit)["SystemCallFilter"] for word in line.split()]
    taken = [
        group.lstrip("~") for line in directives(unit)["SystemCallFilter"] if "~" in line for group in line.split()
    ]
    known = {call.strip() for call in analyze("syscall-filter", *taken).stdout.splitlines()}
    assert "setpriority" in known
    assert {word for word in words if not word.startswith(("@", "~"))} <= known


def test_readme_installs_where_the_units_look() -> None:
    """Following README puts the program where every unit starts it, and names the folder where they keep their data."""
    readme = (UNITS[0].parents[1] / "README.md").read_text()
    match = re.search(r"^python3 -m venv (\S+) && (\S+)/pip install \.$", readme, re.MULTILINE)
    assert match is not None
    assert (f"{match[1]}/bin", f"{match[2]}/blocklistd") == (match[2], PROGRAM)
    for unit in SERVICES:
        found = directives(unit)
        assert found["ExecStart"][0].split()[0] == PROGRAM
        assert f"--data /var/lib/{found['StateDirectory'][0]} " in readme


def test_a_lasting_account_may_share_the_data_with_its_group() -> None:
    """The account's group may enter the folders of the program and write nothing; others see nothing."""
    for unit in SERVICES:
        found = directives(unit)
        assert (found["StateDirectoryMode"], found["UMask"]) == (["0750"], ["0027"])


def test_both_variants_share_account_and_data() -> None:
    """All services run under one name and keep their data in one folder, so either variant finds the other's data."""
    for unit in SERVICES:
        found = directives(unit)
        assert found["User"] == ["blocklistd"]
        assert found["DynamicUser"] == ["yes"]
        assert found["StateDirectory"] == ["blocklistd"]
        assert found["ExecStart"][0].startswith(PROGRAM)


def test_the_server_of_the_split_variant_has_no_way_out() -> None:
    """It has a network of its own, may open unix sockets only, and gets its listening socket handed over."""
    found = directives(next(unit for unit in UNITS if unit.name == "blocklistd-server.service"))
    assert found["PrivateNetwork"] == ["yes"]
    assert found["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert found["Requires"] == ["blocklistd-server.socket"]
    assert found["ExecStart"] == [f"{PROGRAM} serve --no-refresh"]


def test_the_daemon_is_watched_and_survives_its_children() -> None:
    """The main service notifies, is watched, reloads by SIGHUP, and a refresh that is killed takes nothing with it."""
    found = directives(next(unit for unit in UNITS if unit.name == "blocklistd.service"))
    assert found["Type"] == ["notify"]
    assert found["WatchdogSec"]
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    assert found["OOMPolicy"] == ["continue"]
