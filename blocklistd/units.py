"""Durations and sizes as people write them in feeds.yaml and on the command line.

``30s 15m 6h 1d 2w`` are seconds, ``64KiB 64MiB 2GiB`` (or plain bytes) are bytes. A schedule is a duration or a
five-field cron line in UTC. Moments go out as RFC 3339.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
BYTES: Final = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

_DURATION = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}) ?(B|KiB|MiB|GiB|)", re.ASCII)
_SHARE = re.compile(r"(\d{1,7}(?:\.\d{1,4})?) ?%", re.ASCII)


def parse_duration(value: object) -> int:
    """Seconds of ``90s``, ``15m``, ``6h``, ``1d``, ``2w``; the number 0 is no time at all.

    Raises ValueError with a sentence for the user.
    """
    if value == 0 and not isinstance(value, bool):
        return 0
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no duration: write a number and s, m, h, d or w, such as 15m")
    return int(match[1]) * SECONDS[match[2]]


def parse_past(text: str, now: float) -> float:
    """The unix time of ``2026-11-01T12:00:00Z`` (UTC where no zone is written), or of ``3d``: three days ago.

    Raises ValueError with a sentence for the user.
    """
    if _DURATION.fullmatch(text):
        return now - parse_duration(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write 2026-11-01T12:00:00Z, 2026-11-01 or 3d for three days ago"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def parse_size(value: object) -> int:
    """Bytes of ``64MiB``, ``512KiB``, ``2GiB`` or a plain number of bytes.

    Raises ValueError with a sentence for the user.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no size: write a number and KiB, MiB or GiB, such as 64MiB")
    return int(match[1]) * BYTES[match[2]]


def parse_share(value: object) -> float:
    """``40%`` is 0.4, ``200%`` is 2.0. Raises ValueError with a sentence for the user."""
    match = _SHARE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no share: write a number and %, such as 40%")
    return float(match[1]) / 100


def format_share(share: float) -> str:
    """The text that ``parse_share`` reads back: 0.4 is 40%, 0.005 is 0.5%."""
    return f"{share * 100:g}%"


def format_duration(seconds: int) -> str:
    """The shortest exact text that ``parse_duration`` reads back: 3600 is 1h, 90 is 90s."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def format_size(count: int) -> str:
    """The shortest exact text that ``parse_size`` reads back: 2**31 is 2GiB, 1000 is 1000."""
    for unit in ("GiB", "MiB", "KiB"):
        if count and count % BYTES[unit] == 0:
            return f"{count // BYTES[unit]}{unit}"
    return str(count)


def round_duration(seconds: float) -> str:
    """For people: the largest unit that fits, rounded: 45s, 12m, 5h, 3d."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{round(seconds / size)}{unit}"
    return f"{round(seconds)}s"


def round_size(count: float) -> str:
    """For people: bytes with one decimal in binary units: 312 B, 1.4 MiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


@lru_cache(maxsize=4096)
def format_moment(at: float) -> str | None:
    """A unix time as RFC 3339 in UTC, whole seconds; None for 0 (never) and for what is no date of our calendar."""
    try:
        return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if at else None
    except (OverflowError, ValueError, OSError):
        return None


def counted(count: int, noun: str) -> str:
    """For people: 1 feed, 1,200 feeds, 2 entries."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{count:,} {noun if count == 1 else plural}"
