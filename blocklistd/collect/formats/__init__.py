"""The formats a list can have: twin modules, each with ``read(body, feed)``, and the table of them.

A reader takes the unpacked bytes and the feed's options and yields ``Rows``; it raises ``BadBody`` where the
document as a whole is unusable. The reader of a timed format is given the time as well. To add a format: a module with
``read``, a line here, a case in ``tests/golden/formats``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from blocklistd.catalogue.feed import Feed
from blocklistd.collect.formats import csv_, fail2ban, json_, lines, ndjson, regex
from blocklistd.collect.formats.rows import Rows

Reader = Callable[[bytes, Feed, float], Iterator[Rows]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how to read it at a moment (unix time), and what is special about its documents."""

    read: Reader
    markup: bool = False
    """A body that starts with ``<`` is an error page in any format but one that scrapes pages."""
    timed: bool = False
    """The same bytes read differently later, because their entries end by themselves."""


def _timeless(read: Callable[[bytes, Feed], Iterator[Rows]]) -> Reader:
    return lambda body, feed, _now: read(body, feed)


FORMATS: Final[dict[str, Format]] = {
    "lines": Format(_timeless(lines.read)),
    "csv": Format(_timeless(csv_.read)),
    "json": Format(_timeless(json_.read)),
    "ndjson": Format(_timeless(ndjson.read)),
    "regex": Format(_timeless(regex.read), markup=True),
    "fail2ban": Format(fail2ban.read, timed=True),
}

__all__ = ["FORMATS", "Format", "Rows"]
