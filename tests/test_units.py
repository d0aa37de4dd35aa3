"""Durations and sizes read as people write them, and write what they read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.units import (
    BYTES,
    SECONDS,
    format_duration,
    format_moment,
    format_share,
    format_size,
    parse_duration,
    parse_share,
    parse_size,
    round_duration,
    round_size,
)


@given(st.integers(0, 10**9 - 1))
def test_duration_reads_back(seconds: int) -> None:
    """What ``format_duration`` writes, ``parse_duration`` reads as the same number of seconds."""
    assert parse_duration(format_duration(seconds)) == seconds


@given(st.integers(0, 2**49))
def test_size_reads_back(count: int) -> None:
    """What ``format_size`` writes, ``parse_size`` reads as the same number of bytes."""
    assert parse_size(format_size(count)) == count


@given(st.integers(0, 10_000))
def test_share_reads_back(hundredths: int) -> None:
    """What ``format_share`` writes, ``parse_share`` reads as the same share."""
    assert parse_share(format_share(hundredths / 10_000)) == pytest.approx(hundredths / 10_000)


@pytest.mark.parametrize(("text", "share"), [("40%", 0.4), ("0.5%", 0.005), ("2 %", 0.02), ("300%", 3.0)])
def test_share_examples(text: str, share: float) -> None:
    """The notations of the documentation."""
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("value", ["40", 40, 0.4, "-1%", "%", "1.23456%", "\N{ARABIC-INDIC DIGIT FOUR}%", True, None])
def test_what_is_no_share(value: object) -> None:
    """Whatever may be meant otherwise is refused with what to write."""
    with pytest.raises(ValueError, match="is no share: write a number and %"):
        parse_share(value)


@given(st.integers(0, 10**6), st.sampled_from(sorted(SECONDS)))
def test_duration_is_number_times_unit(number: int, unit: str) -> None:
    """Seconds, minutes, hours, days and weeks are what they are elsewhere."""
    assert parse_duration(f"{number}{unit}") == number * SECONDS[unit]


@given(st.integers(0, 10**6), st.sampled_from(sorted(BYTES)))
def test_size_is_number_times_unit(number: int, unit: str) -> None:
    """Binary units, with or without a blank before them."""
    assert parse_size(f"{number}{unit}") == parse_size(f"{number} {unit}") == number * BYTES[unit]


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("6h", 21600), ("1d", 86400), ("2w", 1209600), (0, 0)]
)
def test_duration_examples(text: object, seconds: int) -> None:
    """The notations of the documentation."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("64MiB", 2**26), ("512KiB", 2**19), ("2GiB", 2**31), (1000, 1000)])
def test_size_examples(text: object, count: int) -> None:
    """The notations of the documentation; a plain number is bytes."""
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "value", ["", "h", "1", "1.5h", "-1h", "1 h", "1H", "1h30m", "٣h", 90, True, False, None, 1.5, [], "1" * 10 + "s"]
)
def test_other_durations_are_refused(value: object) -> None:
    """Whatever could be read in two ways is refused with a sentence; a bare number names no unit."""
    with pytest.raises(ValueError, match="is no duration: write a number and s, m, h, d or w"):
        parse_duration(value)


@pytest.mark.parametrize("value", ["", "64MB", "64M", "-1", -1, "1.5GiB", True, None, 1.5, "MiB", "٣MiB"])
def test_other_sizes_are_refused(value: object) -> None:
    """Decimal units are refused: half of the world means something else by them."""
    with pytest.raises(ValueError, match="is no size: write a number and KiB, MiB or GiB"):
        parse_size(value)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m"), (90, "90s"), (3600, "1h"), (5400, "90m"), (86400, "1d"), (90000, "25h")],
)
def test_duration_is_written_exactly(seconds: int, text: str) -> None:
    """The largest unit that loses nothing."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (45, "45s"), (750, "12m"), (18100, "5h"), (260000, "3d")])
def test_duration_is_rounded_for_people(seconds: float, text: str) -> None:
    """One number and the largest unit that fits."""
    assert round_duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (312, "312 B"), (1536, "1.5 KiB"), (1_468_006, "1.4 MiB"), (2**41, "2048.0 GiB")]
)
def test_size_is_rounded_for_people(count: float, text: str) -> None:
    """One decimal and the largest unit that fits."""
    assert round_size(count) == text


@pytest.mark.parametrize(
    ("at", "text"),
    [(1_700_000_000.9, "2023-11-14T22:13:20Z"), (0, None), (1e18, None), (1e300, None), (float("inf"), None)],
)
def test_a_moment_is_written_in_utc(at: float, text: str | None) -> None:
    """Whole seconds with Z; never, and what is no date, is None."""
    assert format_moment(at) == text
