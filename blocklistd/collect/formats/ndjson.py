"""``ndjson``: one JSON object a line (Spamhaus and others), with the options of ``json`` for each of them.

A record ``{"type": "metadata"}`` is no entry: it says how many there are (``records``) and when (``timestamp``), so
that a list cut short on its way is noticed. A line that is no JSON is a refused line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from blocklistd.collect.formats.json_ import RowBuilder
from blocklistd.collect.formats.rows import Rows, blocks, cell_text, plain_text
from blocklistd.collect.names import read_time
from blocklistd.collect.unpack import BadBody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocklistd.catalogue.feed import Feed


def read(body: bytes, feed: Feed) -> Iterator[Rows]:
    """Yield the rows of a document of lines."""
    rows = RowBuilder(feed)
    declared: int | None = None
    dated: float | None = None
    for start, block in blocks(plain_text(body)):
        for number, line in enumerate(block.split(b"\n"), start):
            if not line.strip():
                continue
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError:
                rows.add_reject(number, line[:200].decode(errors="replace"), "is no JSON")
                continue
            if isinstance(record, dict) and record.get("type") == "metadata":
                declared, dated = _metadata(record, declared, dated)
                continue
            try:
                for item in rows.items(record):
                    rows.add(number, item)
            except BadBody as error:
                rows.add_reject(number, record, error.reason)
        yield rows.take()
    yield Rows(declared=declared, dated=dated)


def _metadata(record: dict[str, Any], declared: int | None, dated: float | None) -> tuple[int | None, float | None]:
    count = record.get("records")
    if isinstance(count, int) and not isinstance(count, bool):
        declared = count
    moment = read_time(cell_text(record.get("timestamp")) or "")
    return declared, float(moment) if moment else dated
