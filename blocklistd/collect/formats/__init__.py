"""The formats a list can have: twin modules, each with ``read(body, feed)``, and the table of them.

A reader takes the unpacked bytes and the feed's options and yields ``Rows``; it raises ``BadBody`` where the
document as a whole is unusable. To add a format: a module with ``read``, a line here, a case in
``tests/golden/formats``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from blocklistd.catalogue.feed import Feed
from blocklistd.collect.formats import csv_, fail2ban, json_, lines, ndjson, regex
from blocklistd.collect.formats.rows import Rows

Reader = Callable[[bytes, Feed], Iterator[Rows]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: how to read it, and whether its documents may be markup."""

    read: Reader
    summary: str
    markup: bool = False
    """A body that starts with ``<`` is an error page in any format but one that scrapes pages."""


FORMATS: Final[dict[str, Format]] = {
    "lines": Format(lines.read, "one entry a line, in any notation"),
    "csv": Format(csv_.read, "columns by name or number"),
    "json": Format(json_.read, "one JSON document, entries found by JMESPath"),
    "ndjson": Format(ndjson.read, "one JSON object a line"),
    "regex": Format(regex.read, "whatever a pattern with named groups finds", markup=True),
    "fail2ban": Format(fail2ban.read, "the database or the export of fail2ban"),
}

__all__ = ["FORMATS", "Format", "Rows"]
