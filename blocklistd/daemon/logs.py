"""Log lines on standard error: plain for people, one JSON object a line for collectors.

Under systemd the time is left out, the journal has its own. Client addresses are never logged.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final

LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class PlainFormatter(logging.Formatter):
    """``2026-11-21 20:36:01 message``, with the level where it is a warning or worse."""

    def __init__(self, *, timed: bool) -> None:
        super().__init__()
        self._timed = timed

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a traceback if there is one."""
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        at = datetime.fromtimestamp(record.created).astimezone()
        moment = f"{at:%Y-%m-%d %H:%M:%S} " if self._timed else ""
        text = f"{moment}{level}{record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonFormatter(logging.Formatter):
    """``{"time", "level", "logger", "message"}``, and ``traceback`` if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def set_up_logging(level: str, style: str) -> None:
    """Send every logger's lines of at least ``level`` to standard error in ``style`` (text or json)."""
    handler = logging.StreamHandler(sys.stderr)
    plain = PlainFormatter(timed="JOURNAL_STREAM" not in os.environ)
    handler.setFormatter(JsonFormatter() if style == "json" else plain)
    logging.basicConfig(level=LEVELS[level], handlers=[handler], force=True)
    logging.getLogger("apscheduler").setLevel(logging.WARNING)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
