"""A schedule is a duration or a cron line in UTC, read as cron reads it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.catalogue.schedule import Schedule, parse_schedule


def moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@given(st.integers(1, 10**6), st.floats(0, 4e9))
def test_interval_is_added(seconds: int, now: float) -> None:
    """An interval is due so many seconds later, and reads back from its own text."""
    schedule = Schedule(interval=seconds)
    assert schedule.next_after(now) == now + seconds
    assert parse_schedule(str(schedule)) == schedule
    assert schedule.period == seconds


@pytest.mark.parametrize(
    ("line", "after", "due"),
    [
        ("17 */6 * * *", "2026-11-21T00:17:00", "2026-11-21T06:17:00"),
        ("17 */6 * * *", "2026-11-21T00:16:59", "2026-11-21T00:17:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 4 * * 0", "2026-11-21T05:00:00", "2026-11-22T04:00:00"),
        ("0 4 * * 7", "2026-11-21T05:00:00", "2026-11-22T04:00:00"),
        ("0 4 * * 1", "2026-11-21T05:00:00", "2026-11-23T04:00:00"),
        ("0 4 * * 5-7", "2026-11-21T05:00:00", "2026-11-22T04:00:00"),
        ("0 4 * * mon-fri", "2026-11-21T05:00:00", "2026-11-23T04:00:00"),
        ("0 4 * * */2", "2026-11-21T05:00:00", "2026-11-22T04:00:00"),
        ("0 4 * * */2", "2026-11-26T05:00:00", "2026-11-28T04:00:00"),
        ("0  4 * *  1,3", "2026-11-23T05:00:00", "2026-11-25T04:00:00"),
    ],
)
def test_cron_line(line: str, after: str, due: str) -> None:
    """Weekdays count from Sunday as 0 or 7, all times are UTC, and the moment itself is past."""
    assert parse_schedule(line).next_after(moment(after)) == moment(due)


def test_period_of_cron() -> None:
    """A cron line has a typical distance between two turns."""
    assert parse_schedule("17 */6 * * *").period == 6 * 3600


@pytest.mark.parametrize("value", ["", "hourly", "* * * *", "1:30", 90, True, None, "0s", "0 0 30 2 *", "0 0 * * 3-1"])
def test_bad_schedule_is_refused(value: object) -> None:
    """What is neither is refused with a sentence."""
    with pytest.raises(ValueError, match=r"schedule|cron|duration|never|backwards"):
        parse_schedule(value)
