"""What pydantic found wrong with a feed, said in the words of a person.

Takes the details of one validation error, gives a sentence that says what to write instead; for a name that is
nearly right it asks "did you mean". Values of HTTP headers and URLs are never repeated: they may hold secrets.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, get_args

from blocklistd.catalogue.feed import Category, Feed, Format, Gate, Kind, Role, Status, Terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

KEYS: Final = ("id", "url", *(name for name in Feed.model_fields if name != "id"))
"""Every key a feed may have."""

CHOICES: Final[dict[str, tuple[str, ...]]] = {
    "format": get_args(Format),
    "kind": get_args(Kind),
    "category": get_args(Category),
    "terms": get_args(Terms),
    "status": get_args(Status),
    "columns": get_args(Role),
}
"""Fields with a fixed set of words; for columns the set is that of its keys."""

MOST_COMPARED: Final = 500
"""Among more names than these a near one is not looked for: comparing is slow."""

SECRETS: Final = frozenset({"headers", "urls", "fallback", "homepage"})
"""Fields whose values no message repeats."""

NOUNS: Final = {"columns": "role", "terms": "kind of terms"}

MISSING: Final = {
    "id": "id is missing: a short name that answers carry, such as tor_bulk_exit",
    "urls": "url is missing: where the list is fetched from",
    "format": "format is missing: one of " + ", ".join(get_args(Format)),
}


def sentence_of(detail: ErrorDetails) -> str:
    """One plain sentence for one error of a field; the path is said elsewhere."""
    kind, location, value = detail["type"], detail["loc"], detail["input"]
    field = str(location[0]) if location else ""
    context = detail.get("ctx", {})
    if kind == "missing":
        return MISSING.get(field, f"{field} is missing")
    if kind == "extra_forbidden":
        return unknown_key(str(location[-1]), KEYS if len(location) == 1 else Gate.model_fields)
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return unknown_word(NOUNS.get(field, field), value, CHOICES[field])
    if kind == "string_pattern_mismatch":
        return f"{value!r} must be 1 to 64 of a-z, 0-9 and _"
    if field == "delimiter" and kind in {"string_too_short", "string_too_long"}:
        return 'must be exactly one character; a tab is written "\\t"'
    if kind == "too_short":
        return "needs at least one"
    if kind == "greater_than_equal":
        return f"{value} is too small: at least {context['ge']}"
    if kind == "less_than_equal":
        return f"{value} is too large: at most {context['le']}"
    return _of_type(kind, location, value)


def _of_type(kind: str, location: tuple[int | str, ...], value: Any) -> str:
    """The sentence for a value of another type than the field's."""
    field = str(location[0])
    if field == "headers" and value is None and len(location) > 1:
        return "a header has no value: write {Name: value}, one blank after the colon"
    given = "" if field == "headers" else f", not {shown(value, secret=field in SECRETS)}"
    return f"must be {_wanted(kind, location)}{given}{_advice(kind, field, value)}"


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The sentence for a key that does not exist."""
    return f"unknown key{_did_you_mean(key, known)}"


def unknown_word(noun: str, word: Any, known: Iterable[str]) -> str:
    """The sentence for a value or role outside of a fixed set."""
    known = tuple(known)
    near = _did_you_mean(word, known) if isinstance(word, str) else ""
    return f"{shown(word)} is no {noun}{near or ': known are ' + ', '.join(known)}"


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.7) if len(names) <= MOST_COMPARED else []
    return f": did you mean {near[0]}?" if near else ""


def _wanted(kind: str, location: tuple[int | str, ...]) -> str:
    if location[0] == "columns" and len(location) > 1:
        return "the name or the number of a column"
    if kind.startswith("string"):
        return "text"
    if kind.startswith("int"):
        return "a whole number"
    if kind.startswith("bool"):
        return "true or false"
    if kind.startswith("tuple"):
        return "a list"
    if kind.startswith("model"):
        return "none, or a mapping such as {shrink: 60%}"
    if kind.startswith("dict"):
        return "a mapping such as {name: value}"
    return "something else"


def _advice(kind: str, field: str, value: Any) -> str:
    if kind.startswith("tuple") and isinstance(value, str):
        return f": write {field}: [{'…' if field in SECRETS else value}]"
    if kind.startswith("string") and isinstance(value, int):
        return ": put it in quotes"
    if kind.startswith("string") and field == "urls" and isinstance(value, list | tuple):
        return ": several stand under urls"
    if kind.startswith(("int", "bool")) and isinstance(value, str) and _plain(value):
        return ": leave out the quotes"
    return ""


def _plain(text: str) -> bool:
    return text.isdigit() or text in {"true", "false"}


def shown(value: Any, *, secret: bool = False) -> str:
    """A value as a message repeats it; of a secret one only that it is text."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and secret:
        return "text"
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else f"{value[:60]}…")
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, dict) else str(value)
