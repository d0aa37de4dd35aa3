"""When a feed is due: a plain interval, or a cron line in UTC.

Takes ``1h`` or ``17 */6 * * *``, gives a ``Schedule`` that says when the next fetch after a given one is due.
Pure: the clock is the caller's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Final

from blocklistd.units import format_duration, parse_duration

if TYPE_CHECKING:
    from apscheduler.triggers.cron import CronTrigger

WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEKDAY_RANGE = re.compile(r"(?:([0-7])(?:-([0-7]))?|\*(?=/))(?:/([1-7]))?", re.ASCII)
_EPOCH = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True)
class Schedule:
    """An interval in seconds, or a cron line; exactly one of the two is set."""

    interval: int = 0
    cron: str = ""

    def __str__(self) -> str:
        return self.cron or format_duration(self.interval)

    def next_after(self, moment: float) -> float:
        """Unix time of the first due moment after ``moment``."""
        if not self.cron:
            return moment + self.interval
        after = datetime.fromtimestamp(moment, UTC)
        due = self._trigger.get_next_fire_time(after, after)
        return due.timestamp() if due is not None else moment + 366 * 86400

    @property
    def period(self) -> float:
        """Typical seconds between two due moments, for backoff and jitter."""
        if not self.cron:
            return self.interval
        first = self.next_after(0)
        return self.next_after(first) - first

    @cached_property
    def _trigger(self) -> CronTrigger:
        return _cron_trigger(self.cron)


def parse_schedule(value: object) -> Schedule:
    """Read a duration or a five-field cron line (minute hour day month weekday, 0 and 7 are Sunday).

    Raises ValueError with a sentence for the user.
    """
    if isinstance(value, str) and len(value.split()) == 5:
        schedule = Schedule(cron=" ".join(value.split()))
        if _cron_trigger(schedule.cron).get_next_fire_time(None, _EPOCH) is None:
            raise ValueError(f"{value!r} never comes: there is no such day")
        return schedule
    try:
        seconds = parse_duration(value)
    except ValueError:
        raise ValueError(
            f"{value!r} is no schedule: write a duration such as 1h, or a cron line such as '17 */6 * * *'",
        ) from None
    if seconds < 1:
        raise ValueError("a schedule of 0 would never rest: write at least 1s")
    return Schedule(interval=seconds)


def _cron_trigger(line: str) -> CronTrigger:
    from apscheduler.triggers.cron import CronTrigger  # few feeds have a cron line, so few processes pay for this

    minute, hour, day, month, weekday = line.split()
    if day != "*" and weekday != "*":  # cron takes either, APScheduler both: refuse rather than surprise
        raise ValueError(f"{line!r} names a day and a weekday: give one of them")
    try:
        return CronTrigger(
            minute=minute,
            hour=hour,
            day=day,
            month=month,
            day_of_week=_weekday_names(weekday),
            timezone=UTC,
        )
    except ValueError as error:
        raise ValueError(f"{line!r} is no cron line: {error}") from None


def _weekday_names(field: str) -> str:
    """APScheduler counts weekdays from Monday and cron from Sunday: spell them out."""
    names: list[str] = []
    for part in field.split(","):
        match = _WEEKDAY_RANGE.fullmatch(part)
        if match is None:
            names.append(part)
            continue
        start = int(match[1] or 0)
        end = int(match[2] or match[1] or 6)
        if end < start:
            raise ValueError(f"weekday range {part} runs backwards")
        names += [WEEKDAYS[number % 7] for number in range(start, end + 1, int(match[3] or 1))]
    return ",".join(names)
