"""Fuzz the kernel with its pure twins as oracle: ``python -m fuzz [--seconds 60] [--seed N]``.

Builds the kernel with AddressSanitizer and UndefinedBehaviorSanitizer into a temporary folder, then runs
``fuzz/differential.py`` over it in a child process. Exit status: 0 nothing found, 1 a difference or a report of a
sanitizer (both are printed), 2 no compiler or no sanitizer here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FLAGS = [
    "-std=c11",
    "-O1",
    "-g",
    "-fno-omit-frame-pointer",
    "-fsanitize=address,undefined",
    "-fno-sanitize-recover=all",
]


def build(compiler: str, folder: Path) -> Path:
    """Compile the kernel with sanitizers; gives the module's file."""
    module = folder / "_kernel.abi3.so"
    sources = sorted(str(path) for path in (ROOT / "blocklistd" / "kernel").glob("*.c"))
    include = f"-I{sysconfig.get_paths()['include']}"
    subprocess.run([compiler, *FLAGS, "-shared", "-fPIC", include, *sources, "-o", str(module)], check=True)
    return module


def main() -> int:
    """Build and run."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to run (default 60)")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32, help="for the same run again")
    options = parser.parse_args()
    compiler = shutil.which("gcc")
    if compiler is None:
        print("gcc is needed", file=sys.stderr)
        return 2
    found = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    library = Path(found.stdout.strip())
    if not library.is_absolute():
        print("libasan is needed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "LD_PRELOAD": str(library),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0",  # Python itself keeps much until the end
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONMALLOC": "malloc",  # every object has bounds of its own
        }
        module = build(compiler, Path(folder))
        command = [sys.executable, "-m", "fuzz.differential", str(module), str(options.seed), str(options.seconds)]
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False)
    return 0 if done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
