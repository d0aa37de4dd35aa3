"""Tokens that are no addresses: each reader gives a canonical value or nothing, and never raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.collect import names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Example.COM", "example.com"),
        (" example.com. ", "example.com"),
        ("example.com/", "example.com"),
        ("example.com:8080", "example.com"),
        ("*.example.com", "*.example.com"),
        (".example.com", "*.example.com"),
        ("||example.com^$third-party", "example.com"),
        ("https://user@Example.com:443/a?b", "example.com"),
        ("a_b.example.com", "a_b.example.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("example", None),
        ("localhost", None),
        ("a.localhost", None),
        ("192.0.2.1", None),
        ("http://192.0.2.1/x", None),
        ("http://[2001:db8::1]/x", None),
        ("2001:db8::1", None),
        ("-a.example", None),
        ("a-.example", None),
        ("a..example", None),
        ("a b.example", None),
        ("exam…", None),
        ("http://[", None),
        ("☃" * 300 + ".example", None),
        ("a" * 64 + ".example", None),
        ("a." * 126 + "example", None),
        ("", None),
    ],
)
def test_domains_are_canonical_or_none(text: str, name: str | None) -> None:
    """Lower case, ASCII, without what lists write around a name."""
    assert names.read_domain(text) == name


def test_subdomains_make_every_name_a_wildcard() -> None:
    """A wildcard stays one."""
    assert names.read_domain("example.com", subdomains=True) == "*.example.com"
    assert names.read_domain("*.example.com", subdomains=True) == "*.example.com"


@pytest.mark.parametrize(
    ("text", "email"),
    [(" A@Example.org ", "a@example.org"), *((text, None) for text in ("a@b@c", "a", "@b", "a@", "a b@c", "<a@b>"))],
)
def test_email_addresses_have_one_at_sign(text: str, email: str | None) -> None:
    """Trimmed and in lower case."""
    assert names.read_email(text) == email


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("AS64496", 64496), ("as 64496", 64496), ("64496", 64496), ("4294967295", 4294967295)),
        *((text, None) for text in ("4294967296", "AS", "-1", "1.5", "")),
    ],
)
def test_as_numbers(text: str, number: int | None) -> None:
    """With or without the prefix, up to 32 bits."""
    assert names.read_asn(text) == number


def test_countries_and_counts() -> None:
    """Two letters in capitals; a count is cut at what a column can hold."""
    assert [names.read_country(text) for text in (" de", "DEU", "", "D1")] == ["DE", "", "", ""]
    assert [names.read_count(text) for text in ("7", "7.9", "", "x", "99999999999")] == [7, 7, 0, 0, 2**32 - 1]


@pytest.mark.parametrize(
    "text",
    [
        *("1767323045", "1767323045.75", "1767323045000"),
        *("2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "2026-01-02T04:04:05+01:00", "2026-01-02 03:04:05 UTC"),
        *("Fri, 02 Jan 2026 03:04:05 GMT", "Fri Jan  2 03:04:05 2026", "Fri Jan 02 03:04:05 UTC 2026"),
    ],
)
def test_times_in_every_notation(text: str) -> None:
    """Numbers, ISO 8601 and mail dates are one moment; UTC where no zone is named."""
    assert names.read_time(text) == 1767323045


@pytest.mark.parametrize("text", ["", "never", "0001-01-01", "9999-12-31", "-5", "nan", "1e9", "99999999999999999999"])
def test_impossible_times_are_unknown(text: str) -> None:
    """What no column can hold is 0."""
    assert names.read_time(text) == 0


@given(st.text(max_size=60))
def test_no_text_makes_a_reader_raise(text: str) -> None:
    """Cells come from strangers."""
    names.read_domain(text)
    for read in (names.read_email, names.read_asn, names.read_country, names.read_count, names.read_time):
        read(text)
    names.date_in_heading(f"# Last update: {text}")
