"""``json``: one document; JMESPath expressions say where in it the entries stand.

``paths`` give texts, or lists of texts nested at will; ``records`` gives objects whose ``columns`` are expressions of
their own, and an object whose column holds a list is as many rows. Null is skipped, anything else is a refused entry.
A document that does not parse as a whole is ``BadBody``: no half of one is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import jmespath
import orjson
from jmespath.exceptions import JMESPathError

from blocklistd.collect.formats.rows import ROWS_AT_ONCE, Rows, cell_text, plain_text, reject
from blocklistd.collect.unpack import BadBody

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocklistd.catalogue.feed import Feed
    from blocklistd.collect.model import Reject

LOCATIONS: Final = ("address", "network", "domain", "email", "asn")
"""The roles that name an entry: a record needs one, and a list in one of them stands for several entries."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def read(body: bytes, feed: Feed) -> Iterator[Rows]:
    """Yield the rows of a document. Raises BadBody where it is no JSON."""
    document = decode(body)
    rows = RowBuilder(feed)
    for number, item in enumerate(rows.items(document), 1):
        rows.add(number, item)
        if rows.full:
            yield rows.take()
    yield rows.take()


def decode(body: bytes) -> Any:
    """The document. Raises BadBody where it is none."""
    try:
        return orjson.loads(plain_text(body))
    except orjson.JSONDecodeError as error:
        raise BadBody(f"no JSON: {error}") from error


def compile_path(expression: str) -> Callable[[Any], Any]:
    """A function from a document to what the expression finds; a plain key needs no interpreter."""
    if _KEY.fullmatch(expression):
        return lambda value: value.get(expression) if isinstance(value, dict) else None
    return jmespath.compile(expression).search


def search(path: Callable[[Any], Any], document: Any) -> Any:
    """What the path finds in a document. Raises BadBody where the document is of another shape than it asks for."""
    try:
        return path(document)
    except (JMESPathError, RecursionError) as error:
        raise BadBody(f"not the expected document: {str(error).splitlines()[0][:200]}") from error


class RowBuilder:
    """Collects rows of one feed until there are enough for a chunk."""

    def __init__(self, feed: Feed) -> None:
        self._paths = [compile_path(path) for path in feed.paths or (feed.records or "@",)]
        self._columns = {role: compile_path(str(path)) for role, path in feed.columns.items()}
        self._location = feed.kind if feed.kind in {"domain", "email", "asn"} else "address"
        self._keys = [role for role in LOCATIONS if role in self._columns and (role != "asn" or feed.kind == "asn")]
        self._clear()

    def _clear(self) -> None:
        self._numbers: list[int] = []
        self._texts: list[str] = []
        self._cells: dict[str, list[str]] = {role: [] for role in self._columns or (self._location,)}
        self._rejects: list[Reject] = []

    @property
    def full(self) -> bool:
        """Whether it is time to take a chunk."""
        return len(self._numbers) + len(self._rejects) >= ROWS_AT_ONCE

    def take(self) -> Rows:
        """The rows so far; the builder is empty again."""
        rows = Rows(self._numbers, self._texts, self._cells, self._rejects)
        self._clear()
        return rows

    def items(self, document: Any) -> Iterator[Any]:
        """Everything the paths of the feed, or its records, find in a document; lists unrolled in order."""
        for path in self._paths:
            waiting = [search(path, document)]
            while waiting:
                value = waiting.pop()
                if isinstance(value, list):
                    waiting.extend(reversed(value))
                elif value is not None:
                    yield value

    def add(self, number: int, item: Any) -> None:
        """One item: a text, or an object, which gives a row, or one for each value of a list, or none if empty."""
        if not self._columns:
            text = item if isinstance(item, str) else cell_text(item)
            if text is None:
                self.add_reject(number, item, "is no text")
                return
            self._numbers.append(number)
            self._texts.append(text)
            self._cells[self._location].append(text)
            return
        if not isinstance(item, dict):
            self.add_reject(number, item, "is no object")
            return
        values: dict[str, Any] = {role: search(path, item) for role, path in self._columns.items()}
        lists = [role for role in self._keys if isinstance(values[role], list)]
        if not lists:
            self._add_row(number, item, values)
        for role in lists:
            for value in values[role]:
                self._add_row(number, item, values | dict.fromkeys(lists) | {role: value})

    def _add_row(self, number: int, record: dict[str, Any], values: dict[str, Any]) -> None:
        if self._keys and all(values[role] is None for role in self._keys) and "first" not in self._columns:
            return
        cells = {role: _cell(value) for role, value in values.items()}
        for role, text in cells.items():
            self._cells[role].append(text)
        self._numbers.append(number)
        named = [cells[role] for role in self._keys if cells[role]]
        self._texts.append(named[0] if named else str(record)[:200])

    def add_reject(self, number: int, value: Any, reason: str) -> None:
        """Something that is no row."""
        self._rejects.append(reject(number, str(value)[:200], reason))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(text for item in value[:16] if (text := cell_text(item)))
    return cell_text(value) or ""
