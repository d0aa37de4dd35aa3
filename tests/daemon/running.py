"""A real daemon as a child process, its log followed line by line, and patient conditions instead of sleeps."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PATIENCE = 20.0


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> Any:
    """Ask again and again until the condition gives something; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError, http.client.HTTPException):
            if result := condition():
                return result
        assert time.monotonic() < deadline, f"waited {seconds} s for: {what}"
        time.sleep(0.02)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Reply:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.kind = response.headers.get_content_type()
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    target: tuple[str, int] | Path,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request over a connection of its own."""
    connection = (
        UnixConnection(target) if isinstance(target, Path) else http.client.HTTPConnection(*target, timeout=PATIENCE)
    )
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        return Reply(connection.getresponse())
    finally:
        connection.close()


class Daemon:
    """``blocklistd serve`` with a data folder; use it with ``with``."""

    def __init__(
        self,
        data: Path,
        *arguments: str,
        listen: Sequence[str] = ("127.0.0.1:0",),
        environment: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
    ) -> None:
        addresses = [word for address in listen for word in ("--listen", address)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BLOCKLISTD_")}
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "blocklistd", "serve", "--data", str(data), *addresses, *arguments],
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env={**clean, **(environment or {})},
            pass_fds=pass_fds,
            text=True,
            start_new_session=True,
        )
        self._follower = threading.Thread(target=self._follow)
        self._follower.start()

    def _follow(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._follower.join()
        assert self.process.stderr is not None
        self.process.stderr.close()

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_line(self, pattern: str) -> re.Match[str]:
        """The first log line in which the pattern is found."""

        def found() -> re.Match[str] | None:
            return next((match for line in list(self.lines) if (match := re.search(pattern, line))), None)

        try:
            match: re.Match[str] = wait_for(found, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}; the log was:\n{self.log}") from None
        return match

    @property
    def address(self) -> tuple[str, int]:
        """Where it answers, once it says so."""
        return "127.0.0.1", int(self.wait_line(r"answering on .*http://127\.0\.0\.1:(\d+)")[1])

    def ask(self, path: str, **options: Any) -> Reply:
        return ask(self.address, path, **options)

    def metrics(self) -> dict[tuple[str, ...], float]:
        """Every sample: (name, label value…) → number."""
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in text_string_to_metric_families(self.ask("/metrics").body.decode())
            for sample in family.samples
        }

    def children(self, module: str) -> list[int]:
        """Process ids of the supervisor's children that run ``-m module``."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if module in command_line(int(pid))]

    def workers(self) -> list[int]:
        return self.children("blocklistd.daemon.worker")

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def command_line(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def alive(pid: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def write_catalogue(folder: Path, **urls: str) -> Path:
    """A catalogue of plain lists, each due every hour."""
    path = folder / "feeds.yaml"
    rows = [
        f"  - {{id: {feed}, url: '{url}', format: lines, category: attacker, every: 1h}}" for feed, url in urls.items()
    ]
    path.write_text("\n".join(["feeds:", *rows, ""]))
    return path
