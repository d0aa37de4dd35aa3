"""When a feed may be asked: examples of each rule, and laws over all of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.collect.pace import FIRST_BACKOFF, LONGEST_BACKOFF, backoff, due, failed, started, succeeded
from blocklistd.collect.state import FeedState, read_state, write_state
from tests.collect.servers import make_feed

if TYPE_CHECKING:
    from pathlib import Path

    from blocklistd.catalogue import Feed

NOW = 1_795_000_000.0
HOUR = 3600.0
URL = "https://lists.example/list"

moments = st.floats(0, 2 * NOW, allow_nan=False)


def hourly(*urls: str, **fields: object) -> Feed:
    return make_feed(*(urls or (URL,)), **{"every": "1h", **fields})


def fetched(feed: Feed, at: float, took: float = 0.0) -> FeedState:
    return succeeded(started(feed, FeedState("made"), at), at + took, changed=True, seconds=took)


def test_a_new_feed_is_due() -> None:
    """What was never asked may be asked now."""
    assert due(hourly(floor="30m"), FeedState("made"), NOW) is None


def test_an_interval_is_waited_for() -> None:
    """A feed is not due before its interval has passed since the end of the last fetch."""
    feed = hourly()
    waiting = due(feed, fetched(feed, NOW, took=60), NOW + 600)
    assert waiting is not None
    assert waiting.until == pytest.approx(NOW + 60 + 0.95 * HOUR)
    assert waiting.reason == "fetched 9m ago, every 1h"
    assert due(feed, fetched(feed, NOW, took=60), waiting.until) is None


@pytest.mark.parametrize(("every", "early"), [("10s", 5), ("1m", 10), ("1h", 180), ("1d", 4320)])
def test_a_little_early_is_on_time(every: str, early: float) -> None:
    """A timer of the same period does not skip every second turn: 5 %, at least 10 s, at most half the interval."""
    feed = hourly(every=every)
    state = fetched(feed, NOW)
    interval = feed.every.interval
    assert due(feed, state, NOW + interval - early) is None
    assert due(feed, state, NOW + interval - early - 0.5) is not None


def test_a_cron_line_is_taken_once_a_turn() -> None:
    """A turn that was taken some seconds early is not taken again at its exact time."""
    feed = hourly(every="17 */6 * * *")
    turn = feed.every.next_after(NOW)
    state = fetched(feed, turn - 3000)
    assert due(feed, state, turn - 60) is not None
    assert due(feed, state, turn - 8) is None
    waiting = due(feed, fetched(feed, turn - 8), turn + 1)
    assert waiting is not None
    assert waiting.until == turn + 6 * HOUR - 10


def test_the_floor_counts_from_the_attempt() -> None:
    """The floor holds after failures, when forced, and it is never rounded."""
    feed = hourly(every="1m", floor="30m")
    begun = started(feed, FeedState("made"), NOW)
    after = failed(feed, begun, NOW + 5, "HTTP 503", draw=0.5)
    for state in (begun, after, succeeded(begun, NOW + 5, changed=True)):
        waiting = due(feed, state, NOW + 1799.9, force=True)
        assert waiting is not None
        assert waiting.until == NOW + 1800
        assert waiting.reason == "never asked more often than every 30m"
        assert due(feed, state, NOW + 1800, force=True) is None


def test_the_floor_holds_across_restarts(tmp_path: Path) -> None:
    """An attempt that was killed right after its start still counts, from what is on disk."""
    feed = hourly(floor="30m")
    write_state(tmp_path, started(feed, FeedState("made"), NOW))
    stored = read_state(tmp_path, "made")
    assert due(feed, stored, NOW + 60, force=True) is not None
    assert due(feed, stored, NOW + 1800) is None


def test_a_killed_attempt_is_no_success() -> None:
    """An attempt that never ended is made again without waiting for the interval."""
    feed = hourly()
    state = started(feed, fetched(feed, NOW - 600), NOW)
    assert state.succeeded_at == NOW - 600
    assert due(feed, state, NOW + 1) is None


def test_retry_after_holds_even_when_forced() -> None:
    """What the server asked for is kept, but never longer than a day."""
    feed = hourly()
    state = failed(feed, started(feed, FeedState("made"), NOW), NOW, "HTTP 429", draw=0, retry_after=7200)
    waiting = due(feed, state, NOW + 7199, force=True)
    assert waiting is not None
    assert waiting.until == NOW + 7200
    assert due(feed, state, NOW + 7200, force=True) is None
    state = failed(feed, state, NOW, "HTTP 429", draw=0, retry_after=10**9)
    assert state.not_before == NOW + 86400
    assert failed(feed, state, NOW, "HTTP 429", draw=0, retry_after=-5).not_before == NOW


def test_retry_after_of_a_source_that_was_not_needed() -> None:
    """Where a fallback had the list, the main server's wish is kept all the same."""
    feed = hourly(every="10s")
    state = succeeded(started(feed, FeedState("made"), NOW), NOW, changed=True, note="HTTP 429", retry_after=600)
    assert due(feed, state, NOW + 599, force=True) is not None
    assert state.reason == "HTTP 429"


def test_failures_wait_longer_and_longer() -> None:
    """After failures the backoff decides, earlier than a long interval; forcing ignores it."""
    feed = hourly(every="1d")
    state = fetched(feed, NOW - 86400)
    waits = []
    for _ in range(4):
        state = failed(feed, started(feed, state, NOW), NOW, "HTTP 503", draw=0)
        waiting = due(feed, state, NOW + 1)
        assert waiting is not None
        waits.append(waiting.until - NOW)
        assert due(feed, state, NOW + 1, force=True) is None
        assert due(feed, state, waiting.until) is None
    assert waits == [300, 600, 1200, 2400]
    assert due(feed, state, NOW + 1).reason == "failed 4 times in a row"  # type: ignore[union-attr]


def test_a_success_ends_the_backoff() -> None:
    """One good fetch clears failures and waiting."""
    feed = hourly()
    state = failed(feed, started(feed, FeedState("made"), NOW), NOW, "HTTP 503", draw=0, retry_after=60)
    state = succeeded(started(feed, state, NOW + 400), NOW + 401, changed=False, size=5, seconds=1)
    assert (state.failures, state.retry_at, state.not_before) == (0, 0, 0)
    assert (state.outcome, state.succeeded_at, state.changed_at) == ("unchanged", NOW + 401, 0)


def test_a_failure_keeps_what_was_good() -> None:
    """Success, change and bodies stay as they were; the outcome tells failure from refusal."""
    feed = hourly()
    state = fetched(feed, NOW)
    later = failed(feed, started(feed, state, NOW + HOUR), NOW + HOUR, "is HTML", draw=0, outcome="refused", size=9)
    assert (later.succeeded_at, later.changed_at, later.parts) == (NOW, NOW, state.parts)
    assert (later.outcome, later.reason, later.failures, later.bytes) == ("refused", "is HTML", 1, 9)


def test_new_urls_are_due_at_once() -> None:
    """Edited URLs do not wait for the interval; the floor holds where a host is the same, and only there."""
    state = fetched(hourly(floor="30m"), NOW)
    assert due(hourly("https://lists.example/new", floor="30m"), state, NOW + 60) is not None
    assert due(hourly("https://lists.example/new"), state, NOW + 60) is None
    assert due(hourly("https://elsewhere.example/list", floor="30m"), state, NOW + 60) is None
    assert due(hourly(floor="30m"), state, NOW + 60, mirror="http://mirror.example") is None


def test_new_urls_start_with_a_clean_record() -> None:
    """Failures of the old URLs do not count against the new ones."""
    feed = hourly()
    state = failed(feed, started(feed, FeedState("made"), NOW), NOW, "HTTP 404", draw=0, retry_after=900)
    state = started(hourly("https://elsewhere.example/list"), state, NOW + 1)
    assert (state.failures, state.retry_at, state.not_before) == (0, 0, 0)
    assert state.hosts == ("elsewhere.example",)


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    """Moments further ahead than any rule puts them are ignored."""
    feed = hourly(floor="30m")
    future = fetched(feed, NOW + 10 * 365 * 86400)
    assert due(feed, future, NOW) is None
    broken = failed(feed, future, NOW + 10 * 365 * 86400, "HTTP 503", draw=0, retry_after=600)
    assert due(feed, broken, NOW) is None


# --- laws -------------------------------------------------------------------------------------------------------

states = st.builds(
    FeedState,
    feed_id=st.just("made"),
    source=st.sampled_from(["", started(hourly(), FeedState("made"), 0).source]),
    hosts=st.sampled_from([(), ("lists.example",)]),
    attempted_at=moments,
    finished_at=moments,
    succeeded_at=moments,
    failures=st.integers(0, 10**6),
    not_before=moments,
    retry_at=moments,
)


@given(states, moments, st.booleans(), st.integers(0, 86400))
def test_never_before_the_floor(state: FeedState, now: float, force: bool, floor: int) -> None:
    """Whatever else a state says, a feed is not due within its floor after an attempt."""
    feed = hourly(floor=f"{floor}s" if floor else 0)
    if state.attempted_at <= now < state.attempted_at + floor:
        assert due(feed, state, now, force=force) is not None


@given(states, moments, st.booleans())
def test_waiting_ends(state: FeedState, now: float, force: bool) -> None:
    """What is not due says until when, within a day or two of floor and interval, and is due after some such waits."""
    feed = hourly(floor="2h", every="6h")
    for _ in range(5):
        waiting = due(feed, state, now, force=force)
        if waiting is None:
            break
        assert now < waiting.until <= now + 86400
        assert waiting.reason
        now = waiting.until + 1e-3
    assert due(feed, state, now, force=force) is None


@given(states, moments)
def test_forcing_never_delays(state: FeedState, now: float) -> None:
    """What is due is due when forced."""
    feed = hourly(floor="10m")
    if due(feed, state, now) is None:
        assert due(feed, state, now, force=True) is None


@given(st.integers(1, 10**9), st.floats(1, 10**8), st.floats(0, 1))
def test_backoff_is_bounded_and_grows(failures: int, period: float, draw: float) -> None:
    """For the same chance more failures never wait less, and no wait is outside its bounds."""
    wait = backoff(failures, period, draw)
    assert 0.75 * min(period, FIRST_BACKOFF) <= wait <= max(period, LONGEST_BACKOFF)
    assert backoff(failures + 1, period, draw) >= wait


@given(states, st.lists(st.tuples(st.booleans(), st.floats(0, 1), st.floats(0, 10**6)), max_size=8))
def test_histories_keep_their_order(state: FeedState, steps: list[tuple[bool, float, float]]) -> None:
    """Through any history an attempt that came to an end is never taken for a killed one."""
    feed = hourly()
    now = NOW
    state = replace(state, attempted_at=0.0, finished_at=0.0, failures=0)
    for good, draw, pause in steps:
        state = started(feed, state, now)
        now += pause / 1000
        state = succeeded(state, now, changed=True) if good else failed(feed, state, now, "HTTP 500", draw=draw)
        assert state.finished_at >= state.attempted_at
        assert (state.failures == 0) is good
        now += pause
