"""The kernel's source compiles without a warning, and the program runs without it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import blocklistd
from blocklistd import kernel

FOLDER = Path(blocklistd.__file__).parent / "kernel"


def has_sanitizer() -> bool:
    """Whether gcc is here and brings AddressSanitizer."""
    if shutil.which("gcc") is None:
        return False
    found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).is_absolute()


COMPILERS = [name for name in ("gcc", "clang") if shutil.which(name)]


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_source_compiles_without_a_warning(compiler: str, tmp_path: Path) -> None:
    """All warnings on, and none allowed."""
    include = sysconfig.get_paths()["include"]
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Werror", "-fPIC", "-c", f"-I{include}"]
    sources = sorted(str(path) for path in FOLDER.glob("*.c"))
    assert len(sources) == 6
    done = subprocess.run([compiler, *flags, *sources], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("seconds", [3.0] if has_sanitizer() else [])
def test_a_moment_of_fuzzing_finds_nothing(seconds: float) -> None:
    """The sanitizers and the pure twins have nothing to say against the kernel."""
    command = [sys.executable, "-m", "fuzz", "--seconds", str(seconds)]
    done = subprocess.run(command, cwd=FOLDER.parents[1], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no difference" in done.stdout


@pytest.mark.parametrize(("variable", "names"), [({}, kernel.CHOICES[-1:]), ({kernel.VARIABLE: "pure"}, ("pure",))])
def test_config_says_which_code_is_in_use(variable: dict[str, str], names: tuple[str, ...]) -> None:
    """``blocklistd config`` names it, and the environment switches the kernel off."""
    environment = {name: value for name, value in os.environ.items() if name != kernel.VARIABLE} | variable
    command = [sys.executable, "-m", "blocklistd", "config"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    expected = "compiled kernel" if names == ("compiled",) else "pure Python"
    assert done.stdout.splitlines()[0].endswith(f"index: {expected}")


def test_a_choice_that_is_none_is_refused() -> None:
    """Only what this machine has can be chosen."""
    with pytest.raises(ValueError, match="is not among"):
        kernel.choose("fast")
