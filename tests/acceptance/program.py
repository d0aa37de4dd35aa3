"""The program as its users run it: ``python -m blocklistd …`` in processes of its own."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def environment(data: Path, catalogue: Path, **settings: str) -> dict[str, str]:
    """The environment of a run on its own data folder; nothing of ours leaks in."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BLOCKLISTD_")}
    own = {"BLOCKLISTD_DATA": str(data), "BLOCKLISTD_CONFIG": str(catalogue)}
    return inherited | own | {f"BLOCKLISTD_{name.upper()}": value for name, value in settings.items()}


def command(*arguments: str) -> list[str]:
    """The command line of the program."""
    return [sys.executable, "-m", "blocklistd", *arguments]


def refresh(data: Path, catalogue: Path, *arguments: str) -> dict[str, Any]:
    """One refresh to its end; gives its report. Anything but exit status 0 fails the test with what it said."""
    done = subprocess.run(
        command("refresh", "--json", *arguments),
        env=environment(data, catalogue),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def free_port() -> int:
    """A port of 127.0.0.1 that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serve(data: Path, catalogue: Path, *, workers: int = 1) -> Iterator[int]:
    """A daemon that only answers, from exec until it was told to end; gives its port once it is ready."""
    port = free_port()
    arguments = ("--no-refresh", "--listen", f"127.0.0.1:{port}", "--workers", str(workers))
    log = data.parent / "serve.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(
            command("serve", *arguments),
            env=environment(data, catalogue),
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process,
    ):
        try:
            wait_ready(port, process)
            yield port
        except AssertionError as error:
            error.add_note(log.read_text(encoding="utf-8", errors="replace"))
            raise
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                raise


def wait_ready(port: int, process: subprocess.Popen[Any], path: str = "/readyz", seconds: float = 20) -> float:
    """Ask until the answer is 200; gives when that was (monotonic). Fails where the process ends or time is up."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        assert process.poll() is None, f"the daemon ended with status {process.returncode}"
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", path)
            if connection.getresponse().status == 200:
                return time.monotonic()
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.005)
    raise AssertionError(f"no answer on port {port} within {seconds} s")
