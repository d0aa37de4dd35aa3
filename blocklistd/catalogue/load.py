"""feeds.yaml as a ``Catalogue``: strict, and every mistake at once with its path and line.

Takes a file or its text, gives a frozen ``Catalogue``; raises ``CatalogueInvalid`` with one ``Problem`` a mistake, in
the order of the file. What concerns one feed alone is in ``feed``; here stand the rules between feeds, and how
``defaults`` lie below each feed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from blocklistd.catalogue.document import UNREADABLE, path_text, read_document, read_text
from blocklistd.catalogue.feed import (
    ALL_OPTIONS,
    BOGONS,
    OPTIONS,
    TABLES,
    VARIABLE,
    Feed,
    FeedMistakes,
    is_feed_id,
)
from blocklistd.catalogue.sentences import KEYS, sentence_of, unknown_key
from blocklistd.errors import CatalogueInvalid, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from blocklistd.catalogue.document import Document
    from blocklistd.catalogue.document import Path as Where

REFERENCES: Final = ("includes", "exclude", "replaced_by")
"""Fields that name other feeds."""

_OWN: Final = frozenset({"id", "url", "urls"})
"""What a feed must say itself: no default is possible."""

_STAND_INS: Final = {"id": "x", "urls": ["https://example.invalid/"], "format": "lines"}
"""Take the place of a bad value, so that the rest of the feed can still be judged."""


@dataclass(frozen=True)
class Catalogue:
    """All feeds, in the order of the file. Feeds can be found by id with ``by_id``."""

    feeds: tuple[Feed, ...]

    @cached_property
    def by_id(self) -> Mapping[str, Feed]:
        """The feeds by their id, in the same order."""
        return {feed.id: feed for feed in self.feeds}

    def enabled(self, use: Literal["noncommercial", "commercial"] = "noncommercial") -> tuple[Feed, ...]:
        """The feeds that are on. Commercial use leaves out those whose terms are not ``free``."""
        return tuple(feed for feed in self.feeds if feed.enabled and (use == "noncommercial" or feed.terms == "free"))


def load_catalogue(path: Path) -> Catalogue:
    """Read a catalogue file.

    Raises UsageError if it cannot be read, CatalogueInvalid if anything in it is wrong.
    """
    return read_catalogue(read_text(path, "catalogue", CatalogueInvalid), str(path))


def read_catalogue(text: str, source: str) -> Catalogue:
    """Read the text of a catalogue; ``source`` names it in messages. Raises CatalogueInvalid."""
    reading = _Reading(read_document(text))
    feeds = reading.read()
    if reading.problems:
        raise CatalogueInvalid(source, tuple(sorted(reading.problems, key=lambda problem: problem.line)))
    return Catalogue(tuple(feeds))


def expand_headers(feed: Feed, environment: Mapping[str, str]) -> dict[str, str]:
    """The feed's HTTP headers with every ``${NAME}`` filled in from the environment, without blanks around it.

    Raises UsageError that names the header and the variable, never a value.
    """
    return {name: _expand(name, value, environment) for name, value in feed.headers.items()}


def _expand(header: str, text: str, environment: Mapping[str, str]) -> str:
    def look_up(match: re.Match[str]) -> str:
        value = environment.get(match[1], "").strip()  # a variable read from a file often ends with a line break
        if not value:
            raise UsageError(f"header {header} needs the environment variable {match[1]}, which is not set")
        if not value.isascii() or not value.isprintable():
            raise UsageError(f"the environment variable {match[1]} for header {header} must be one line of ASCII")
        return value

    return VARIABLE.sub(look_up, text).strip()


class _Reading:
    """One pass over a document; collects the problems."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems = list(document.problems)
        self.noted = set(document.noted)
        self.defaults: dict[str, Any] = {}

    def read(self) -> list[Feed]:
        root = self.document.value
        if root is UNREADABLE:
            return []
        if not isinstance(root, dict) or "feeds" not in root:
            what = "a catalogue holds feeds:, a list of feeds"
            self._note((), what if root is None or isinstance(root, dict) else f"{what}, and defaults:")
            root = root if isinstance(root, dict) else {}
        for key in root:
            if key not in {"feeds", "defaults"}:
                self._note((key,), unknown_key(key, ("feeds", "defaults")))
        self._read_defaults(root.get("defaults"))
        entries = root.get("feeds", [])
        if not isinstance(entries, list):
            if entries is not UNREADABLE:
                self._note(("feeds",), "must be a list: every feed begins with '- id:'")
            return []
        feeds = [self._read_feed(entry, ("feeds", number)) for number, entry in enumerate(entries)]
        self._check_references([self._raw(entry) for entry in entries])
        return [feed for feed in feeds if feed is not None]

    def _note(self, where: Where, message: str) -> None:
        self.problems.append(Problem(path_text(where), self.document.lines.get(where, 0), message))
        self.noted.add(where)

    # ── defaults ──────────────────────────────────────────────────────────────────────────────────

    def _read_defaults(self, fields: Any) -> None:
        if fields is None or fields is UNREADABLE:
            return
        if not isinstance(fields, dict):
            self._note(("defaults",), "must be a mapping of feed fields, such as every: 1h")
            return
        wanted = {}
        for key, value in fields.items():
            if key in _OWN:
                self._note(("defaults", key), f"{key} cannot have a default: every feed needs its own")
            elif not _holds_unreadable(value):
                wanted[key] = value
        bad = {
            self._note_detail(detail, ("defaults",), wanted)
            for detail in _details({**_STAND_INS, "category": "abuse", **wanted})
            if detail["loc"]
        }
        self.defaults = {key: value for key, value in wanted.items() if key not in bad}

    def _below(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The defaults that fit this feed; a default is a wish, so one that does not fit is passed over."""
        merged = {**self.defaults, **fields}
        unfit = set(ALL_OPTIONS - OPTIONS.get(str(merged.get("format")), ALL_OPTIONS))
        if merged.get("kind", "ip") in TABLES:
            unfit |= {"category", "widen", "subdomains"}
        if merged.get("kind", "ip") != "domain":
            unfit.add("subdomains")
        if merged.get("kind", "ip") != "ip":
            unfit.add("widen")
        if "count" not in (fields.get("columns") or {}) and "(?P<count>" not in str(fields.get("pattern")):
            unfit.add("min_count")
        if fields.get("status") == "ended" or fields.get("terms") == "prohibited":
            unfit.add("enabled")
        fit = {key: value for key, value in self.defaults.items() if key not in unfit}
        for key in {"exclude", "includes"} & fit.keys():
            fit[key] = [name for name in fit[key] if name != fields.get("id")]
        return fit

    # ── one feed ──────────────────────────────────────────────────────────────────────────────────

    def _read_feed(self, entry: Any, where: Where) -> Feed | None:
        if not isinstance(entry, dict):
            if entry is not UNREADABLE:
                self._note(where, "must be a mapping: id, url, format and so on")
            return None
        fields = {key: value for key, value in entry.items() if not _holds_unreadable(value)}
        bad = set(entry) - set(fields)
        if "url" in entry and "urls" in entry:
            self._note(where, "give either url or urls, not both")
            fields.pop("url", None)
        merged = {**self._below(fields), **fields}
        if isinstance(fields.get("headers"), dict):
            merged["headers"] = {**self.defaults.get("headers", {}), **fields["headers"]}
        bad = {"urls" if key == "url" else key for key in bad}
        try:
            feed = Feed.model_validate(merged)
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                if detail["type"] == "missing" and detail["loc"][0] in bad:
                    continue
                bad.add(self._note_detail(detail, where, fields))
            self._note_contradictions(merged, bad - {""}, where)
            return None
        return None if bad else feed

    def _note_detail(self, detail: Any, where: Where, fields: Mapping[str, Any]) -> str:
        """Note one error of a field; gives the name of the field, empty for the feed as a whole."""
        location = tuple(part for part in detail["loc"] if part not in {"[key]", "int", "str"})
        if isinstance(detail.get("ctx", {}).get("error"), FeedMistakes) or not location:
            return ""
        field = str(location[0])
        if detail["type"] == "missing":
            self._note(where, sentence_of(detail))
            return field
        if field == "urls" and "url" in fields:
            location = ("url",)
        if field == "headers" and detail["input"] is None:
            location = ("headers",)  # a name without a value may be a value without its name
        path = (*where, *location)
        while path not in self.document.lines:  # a key inside a value that the line map does not know
            path = path[:-1]
        if path not in self.noted:
            self._note(path, sentence_of(detail))
        return field

    def _note_contradictions(self, merged: dict[str, Any], bad: set[str], where: Where) -> None:
        """Judge the feed as a whole, with stand-ins for what is already known to be bad."""
        rest = {key: value for key, value in merged.items() if key not in bad and key in KEYS}
        if "urls" in bad:
            rest.pop("url", None)
        for key in bad & _STAND_INS.keys():
            rest[key] = _STAND_INS[key]
        for detail in _details(rest):
            error = detail.get("ctx", {}).get("error")
            for concerned, sentence in error.mistakes if isinstance(error, FeedMistakes) else ():
                if not concerned & bad:
                    self._note(where, sentence)

    # ── between feeds ─────────────────────────────────────────────────────────────────────────────

    def _raw(self, entry: Any) -> dict[str, Any]:
        """What an entry says about itself and others, even where other parts of it are bad."""
        fields = entry if isinstance(entry, dict) else {}
        name, kind = fields.get("id"), fields.get("kind", self.defaults.get("kind", "ip"))
        below = self._below(fields)
        names = {field: _named(fields.get(field, below.get(field))) for field in REFERENCES}
        return {"id": name if isinstance(name, str) else None, "kind": kind, **names}

    def _check_references(self, entries: list[dict[str, Any]]) -> None:
        first: dict[str, int] = {}
        for number, entry in enumerate(entries):
            if entry["id"] in first:
                line = self.document.lines["feeds", first[entry["id"]], "id"]
                self._note(("feeds", number, "id"), f"{entry['id']!r} is taken by the feed on line {line}")
            elif entry["id"] is not None:
                first[entry["id"]] = number
        for number, entry in enumerate(entries):
            for field in REFERENCES:
                for position, name in entry[field]:
                    if sentence := self._reference_mistake(field, name, entry, entries, first):
                        where = ("feeds", number, field, position)[: 3 if position is None else 4]
                        self._note_reference(where, field, sentence)
        for field in REFERENCES:
            graph = {name: [target for _, target in entries[at][field]] for name, at in first.items()}
            for cycle in _cycles(graph):
                circle = " → ".join((*cycle, cycle[0]))
                self._note(("feeds", first[cycle[0]]), f"{field} runs in a circle: {circle}")

    def _note_reference(self, where: Where, field: str, sentence: str) -> None:
        if where in self.document.lines:
            self._note(where, sentence)
        elif ("defaults", field) not in self.noted:
            self._note(("defaults", field), sentence)

    @staticmethod
    def _reference_mistake(
        field: str,
        name: str,
        entry: Mapping[str, Any],
        entries: list[dict[str, Any]],
        first: Mapping[str, int],
    ) -> str:
        if name not in first:
            near = unknown_key(name, first).removeprefix("unknown key")
            return f"no feed has the id {name!r}{near}"
        if name == entry["id"]:
            return f"{name!r} names itself"
        kind = entries[first[name]]["kind"]
        if field == "exclude" and kind != "ip":
            return f"{name!r} is a feed of kind {kind}: only ranges of kind ip can be taken out"
        return ""


def _details(fields: dict[str, Any]) -> list[Any]:
    try:
        Feed.model_validate(fields)
    except ValidationError as error:
        return list(error.errors(include_url=False))
    return []


def _holds_unreadable(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_unreadable, value.values()))
    if isinstance(value, list):
        return any(map(_holds_unreadable, value))
    return value is UNREADABLE


def _named(value: Any) -> list[tuple[int | None, str]]:
    """The feed ids in a value, with their position in the list."""
    if isinstance(value, str):
        return [(None, value)] if value != BOGONS and is_feed_id(value) else []
    if not isinstance(value, list):
        return []
    return [
        (position, name)
        for position, name in enumerate(value)
        if isinstance(name, str) and name != BOGONS and is_feed_id(name)
    ]


def _cycles(graph: Mapping[str, list[str]]) -> Iterator[tuple[str, ...]]:
    """Every circle once, starting with the feed that stands first; a feed that names itself is none."""
    done: set[str] = set()
    for start in graph:
        trail: dict[str, None] = {}  # in order, and quick to look in
        branches = [iter((start,))]
        while branches:
            name = next(branches[-1], None)
            if name is None:
                branches.pop()
                if trail:
                    done.add(trail.popitem()[0])
            elif name in trail:
                names = tuple(trail)
                if len(cycle := names[names.index(name) :]) > 1:
                    yield cycle
            elif name in graph and name not in done:
                trail[name] = None
                branches.append(iter(graph[name]))
