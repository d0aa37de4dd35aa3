"""URLs are shown to people without what may be secret in them."""

from __future__ import annotations

import pytest

from blocklistd.urls import check_url, shown


def test_urls_are_shown_without_secrets() -> None:
    """User, password, query and fragment are left out; the port stays, and an @ of the path."""
    assert shown("https://me:word@lists.example:8443/a/b?key=1#x") == "https://lists.example:8443/a/b"
    assert shown("https://lists.example/npm/@scope/list.csv") == "https://lists.example/npm/@scope/list.csv"


def test_a_good_url_is_given_back() -> None:
    """What is accepted is not changed."""
    for url in ("https://me:word@lists.example/a?b#c", "http://[2001:db8::1]:80/", "file:///srv/list"):
        assert check_url(url) == url


def test_a_mistake_names_the_url_as_far_as_it_is_no_secret() -> None:
    """A query is cut off; of a text with an @ nothing is shown, for a password may stand anywhere before it."""
    with pytest.raises(ValueError, match=r"^'ftp://lists\.example/a' must start with https:// or http://"):
        check_url("ftp://lists.example/a?key=word")
    with pytest.raises(ValueError, match=r"^this text must start with https://"):
        check_url("me:word@lists.example")
