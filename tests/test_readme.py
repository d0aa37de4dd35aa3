"""README's commands do what it says: they are run, in order, and what they print is compared."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def steps(text: str) -> list[tuple[str, str]]:
    """The commands of all console blocks, continuation lines joined, each with the output it shows."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], ""))
            elif line.startswith("> "):
                found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
            else:
                found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def matches(shown: str, printed: str) -> bool:
    """Whether the output is as shown, where ``...`` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@pytest.mark.skipif(shutil.which("curl") is None, reason="the tour asks with curl")
def test_the_tour_does_what_it_shows(tmp_path: Path) -> None:
    """Every command of the tour succeeds and prints what README shows."""
    tour = steps((ROOT / "README.md").read_text())
    script = ["set -eu"]
    for number, (command, _) in enumerate(tour):
        out = tmp_path / f"out-{number}"
        background = command.endswith("&")
        script += (
            [f"exec 3>&1 >{out} 2>&1", command, "exec >&3"] if not background else [f"{command[:-1]} >{out} 2>&1 &"]
        )
    script.append("kill %1; wait %1 || true")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run = subprocess.run(
        ["bash", "-mc", "\n".join(script)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    for number, (command, shown) in enumerate(tour):
        out = tmp_path / f"out-{number}"
        printed = out.read_text() if out.exists() else f"not reached: {run.stderr}"
        assert matches(shown, printed), f"$ {command}\nshown:\n{shown}\nprinted:\n{printed}"
    assert run.returncode == 0, run.stderr


def test_the_tour_is_not_empty() -> None:
    """The test above would pass on a README without commands."""
    assert len(steps((ROOT / "README.md").read_text())) >= 10
