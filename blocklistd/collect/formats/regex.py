"""``regex``: whatever a pattern with named groups finds, for documents no other format knows.

The pattern is searched over the decoded text with ``^`` and ``$`` at line ends; each match is a row. A group
``address`` or ``network`` may hold several, in brackets or not, separated by commas (``[192.0.2.1,192.0.2.2]``).
How long a pattern may take is the business of the process that parses: it has a deadline.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocklistd.collect.formats.rows import ROWS_AT_ONCE, Rows, plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.catalogue.feed import Feed


def read(body: bytes, feed: Feed) -> Iterator[Rows]:
    """Yield a row for every match."""
    text = plain_text(body).decode(errors="replace")
    pattern = re.compile(feed.pattern or "", re.MULTILINE)
    roles = list(pattern.groupindex)
    numbers: list[int] = []
    texts: list[str] = []
    cells: dict[str, list[str]] = {role: [] for role in roles}
    line, counted = 1, 0
    for match in pattern.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        values = {role: (match[role] or "").strip() for role in roles}
        several = next((role for role in ("address", "network") if "," in values.get(role, "")), None)
        for value in _items(values[several]) if several else [""]:
            for role in roles:
                cells[role].append(value if role == several else values[role])
            numbers.append(line)
            texts.append(value or match[0])
        if len(numbers) >= ROWS_AT_ONCE:
            yield Rows(numbers, texts, cells)
            numbers, texts, cells = [], [], {role: [] for role in roles}
    yield Rows(numbers, texts, cells)


def _items(text: str) -> list[str]:
    return [item for part in text.strip("[] ").split(",") if (item := part.strip())]
