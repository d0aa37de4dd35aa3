"""``blocklistd config``: what it prints is read back to the same settings."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from blocklistd.cli import cli
from blocklistd.cli.config import quote
from blocklistd.settings import SETTINGS, read_settings
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

ODD = [
    "--data",
    '/srv/a b/$HOME/"quoted"/`back`\\slash/it\'s',
    "--workers",
    "3",
    "--allow-anonymous",
    "--listen",
    "[::1]:1",
]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["config", *arguments], env={}, catch_exceptions=False, standalone_mode=False)
    return result.output


def read_by_sh(text: str, folder: Path) -> dict[str, str]:
    """The variables a shell has after reading the text as an environment file."""
    path = folder / "environment"
    path.write_text(text)
    show = f"{shlex.quote(sys.executable)} -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    command = ["sh", "-c", f"set -a; . {shlex.quote(str(path))}; exec {show}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PATH": os.environ["PATH"]})
    environment: dict[str, str] = json.loads(done.stdout)
    return environment


def read_like_systemd(text: str) -> dict[str, str]:
    """The values as systemd.exec(5) reads an EnvironmentFile: in double quotes a backslash quotes four characters."""
    values = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and line[0] not in "#;":
            assert value[0] == value[-1] == '"', line
            values[name] = re.sub(r'\\(["\\`$])', r"\1", value[1:-1])
    return values


def test_what_it_prints_reads_back_to_the_same_settings(tmp_path: Path) -> None:
    """A shell and systemd read the very settings that were given, however odd their characters."""
    given_settings = read_settings({"data": ODD[1], "workers": "3", "allow_anonymous": "true", "listen": "[::1]:1"}, {})
    printed = run(*ODD)
    assert read_settings({}, read_by_sh(printed, tmp_path)) == given_settings
    assert read_settings({}, read_like_systemd(printed)) == given_settings


def test_every_setting_is_printed_with_its_sentence() -> None:
    """Nothing is left out, and each line says what it is for."""
    printed = run()
    for setting in SETTINGS:
        assert f"# {setting.sentence}\n{setting.variable}=" in printed
    assert printed.startswith(f"# blocklistd {VERSION}, Python {sys.version.split()[0]}, index: ")


def test_json_holds_the_same() -> None:
    """--json gives version, Python, index and the same variables as one object."""
    document = json.loads(run("--json", *ODD))
    assert document["version"] == VERSION
    assert {"python", "index"} <= set(document)
    assert document["settings"] == read_like_systemd(run(*ODD))


def test_a_wrong_setting_is_status_2() -> None:
    """The mistake is named by its flag."""
    done = subprocess.run(
        [sys.executable, "-m", "blocklistd", "config", "--workers", "none"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "--workers" in done.stderr
    assert done.stdout == ""


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_quoting_keeps_every_character(text: str) -> None:
    """Whatever a value holds, the shell gives it back."""
    done = subprocess.run(["sh", "-c", f"printf %s {quote(text)}"], capture_output=True, check=True)
    assert done.stdout == text.encode()
