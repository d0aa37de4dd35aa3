"""One refresh in a child process: started, listened to, stopped at its deadline; its report.

Takes settings and the running catalogue, gives the JSON document that ``refresh --json`` prints, or one of the same
shape that says why there is none. Whatever the child does, nothing is raised here. The child logs in JSON whatever our
own format is, so each of its lines goes on to our log with its level; a line that is not JSON is an error.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from blocklistd.daemon.logs import LEVELS
from blocklistd.daemon.memory import path_of
from blocklistd.daemon.workers import describe_end
from blocklistd.units import format_duration
from blocklistd.web.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger(__name__)

LONGEST_REPORT: Final = 16 * 2**20
LONGEST_LINE: Final = 64 * 2**10
GRACE: Final = 5.0
"""Seconds between SIGTERM and SIGKILL."""


async def run_pass(environment: Mapping[str, str], catalogue: int, deadline: int, *, force: bool) -> dict[str, Any]:
    """Run one refresh; never raises, except when cancelled: then the child is stopped.

    environment: the settings for the child; catalogue: handle of an anonymous file with the running catalogue.
    """
    started = datetime.now(UTC)
    arguments = ["refresh", "--json", *(["--force"] if force else [])]
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "blocklistd.daemon.child", str(os.getpid()), *arguments),
            env={**environment, "BLOCKLISTD_CONFIG": str(path_of(catalogue)), "BLOCKLISTD_LOG_FORMAT": "json"},
            pass_fds=[catalogue],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            process_group=0,
        )
    except OSError as error:
        return _without_report(started, f"the refresh could not be started: {error.strerror}")
    output = _Output()
    readers = asyncio.gather(output.read_report(process.stdout), output.relay(process.stderr))
    late = False
    try:
        async with asyncio.timeout(deadline):
            await asyncio.gather(process.wait(), readers)
    except TimeoutError:
        late = True
    finally:
        await _end(process)
        readers.cancel()
    if late:
        return _without_report(started, f"the refresh took longer than {format_duration(deadline)} and was stopped")
    status = process.returncode or 0
    report = output.report()
    if report is None:
        last = f": {output.last_line}" if output.last_line else ""
        return _without_report(started, f"the refresh {describe_end(status)}{last}")
    if status and not report.get("error"):
        report["error"] = f"the refresh {describe_end(status)}"
    return report


class _Output:
    """What the child said."""

    def __init__(self) -> None:
        self._report = b""
        self.last_line = ""

    async def read_report(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while chunk := await stream.read(65536):
            if len(self._report) <= LONGEST_REPORT:
                self._report += chunk

    async def relay(self, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        splitter = LineSplitter(LONGEST_LINE)
        while chunk := await stream.read(65536):
            self._relay_lines(splitter.feed(chunk))
        self._relay_lines(splitter.finish())

    def _relay_lines(self, lines: list[bytes]) -> None:
        for line in lines:
            if text := line.decode("utf-8", "replace").rstrip():
                level, message = read_line(text)
                logger.log(level, "%s", message)
                self.last_line = message.strip()

    def report(self) -> dict[str, Any] | None:
        """The one JSON object on standard output, None if there is none."""
        with suppress(ValueError, RecursionError):
            document = json.loads(self._report)
            return document if isinstance(document, dict) else None
        return None


def read_line(text: str) -> tuple[int, str]:
    """Level and message of a line of the child: an error where it is no JSON line, as of a traceback."""
    with suppress(ValueError, RecursionError):
        document = json.loads(text)
        if isinstance(document, dict) and isinstance(document.get("message"), str):
            return LEVELS.get(str(document.get("level")), logging.INFO), document["message"]
    return logging.ERROR, text


async def _end(process: asyncio.subprocess.Process) -> None:
    """Stop the child and whatever it started, if it still runs: politely, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(process.wait()), GRACE)


def _without_report(started: datetime, error: str) -> dict[str, Any]:
    return {
        "started": started.isoformat(),
        "finished": datetime.now(UTC).isoformat(),
        "snapshot": None,
        "published": False,
        "error": error,
        "feeds": [],
    }
