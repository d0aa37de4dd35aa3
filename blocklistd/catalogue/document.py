"""YAML read strictly: values with the line each stands on, and every mistake instead of a guess.

Takes the text of a file, gives a ``Document`` of plain values (dict, list, str, int, bool, None). YAML 1.1
turns some words into something else without a sound (``on`` is true, ``1:30`` is 90, ``010`` is 8): such a
value becomes a ``Problem`` and stands as ``UNREADABLE`` in the document. Duplicate keys, foreign tags, deep
nesting and aliases that unfold to more than a file may hold are mistakes too. Never raises for whatever the
text holds. What a message repeats of a file is no secret: values of HTTP headers are not quoted, nor keys that are
no plain words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import yaml

from blocklistd.errors import Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path as FilePath

    from blocklistd.errors import ConfigurationInvalid

Path = tuple[str | int, ...]
"""Where a value stands, such as ``("feeds", 3, "every")``."""

LARGEST_FILE: Final = 4 * 2**20
"""Bytes of the largest file that is read."""

MAX_DEPTH: Final = 20
MAX_VALUES: Final = 500_000
"""More values than this, aliases unfolded, nobody has written by hand."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG: Final = "tag:yaml.org,2002:"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_SECRETS: Final = "headers"
"""The key whose values are never repeated."""
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})", re.ASCII)


class Unreadable:
    """Stands for a value that was refused; its problem is already noted."""

    def __repr__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = Unreadable()


@dataclass(frozen=True, slots=True)
class Document:
    """A file as plain values; ``lines`` gives the 1-based line of every value by its path.

    noted: the paths at which ``problems`` stand.
    """

    value: Any
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...]
    noted: frozenset[Path] = frozenset()


def path_text(path: Path) -> str:
    """A path as people write it: ``feeds[3].every``; a key that is no plain word is shown as ``…``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _PLAIN_KEY.fullmatch(part) else "…"
            text += f".{word}" if text else word
    return text


def read_text(path: FilePath, noun: str, invalid: type[ConfigurationInvalid]) -> str:
    """The text of a configuration file; ``noun`` names it in messages: catalogue, policy.

    Raises UsageError if it cannot be read, ``invalid`` if it is too large or no text.
    """
    try:
        with path.open("rb") as file:
            body = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read the {noun} {path}: {error.strerror}") from None
    if len(body) > LARGEST_FILE:
        raise invalid(str(path), (Problem("", 0, f"is larger than 4MiB: that is no {noun}"),))
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise invalid(str(path), (Problem("", line, "is not UTF-8 text"),)) from None


def read_document(text: str) -> Document:
    """Read one YAML document; whatever is wrong stands in its ``problems``."""
    try:
        if (problem := _oversize(text)) is not None:
            return Document(UNREADABLE, {}, (problem,))
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        return Document(UNREADABLE, {}, (_syntax_problem(error, text),))
    reader = _Reader()
    value = None if node is None else reader.read(node, ())
    return Document(value, reader.lines, tuple(reader.problems), frozenset(reader.noted))


def _line(mark: Any) -> int:
    """The 1-based line of a mark, 0 where there is none."""
    return 0 if mark is None else int(mark.line) + 1


def _oversize(text: str) -> Problem | None:
    """Walk the events without building anything: nesting, size and self-reference, aliases unfolded."""
    sizes: dict[str, int] = {}
    open_values: list[tuple[str | None, int]] = []
    count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = _line(event.start_mark)
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if anchor in {name for name, _ in open_values}:
                return Problem("", line, f"*{anchor} stands inside itself")
            count += sizes.get(str(anchor), 1)
        elif isinstance(event, yaml.CollectionStartEvent):
            open_values.append((anchor, count))
            count += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            name, before = open_values.pop()
            if name is not None:
                sizes[name] = count - before
        elif isinstance(event, yaml.ScalarEvent):
            count += 1
        if len(open_values) > MAX_DEPTH:
            return Problem("", line, f"nested more than {MAX_DEPTH} deep")
        if count > MAX_VALUES:
            return Problem("", line, f"more than {MAX_VALUES} values, aliases unfolded")
    return None


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        what = error.problem or error.context or "cannot be read"
        hint = ""
        if "cannot start any token" in what and _has_tab(text, error.problem_mark):
            hint = " (indent with blanks, not with tabs)"
        elif "another document" in what:
            what = "a second document begins: a file holds one"
        elif "mapping values are not allowed" in what:
            hint = " (a value that holds a colon and a blank needs quotes)"
        return Problem("", _line(error.problem_mark or error.context_mark), f"not YAML: {what}{hint}")
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, int(error.position)) + 1
        return Problem("", line, f"not YAML: {error.reason}")
    return Problem("", 0, f"not YAML: {error}")


def _has_tab(text: str, mark: Any) -> bool:
    lines = text.splitlines()
    return 1 <= _line(mark) <= len(lines) and "\t" in lines[_line(mark) - 1]


class _Reader:
    """Turns nodes into values and notes lines and problems on the way."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []
        self.noted: set[Path] = set()

    def read(self, node: yaml.Node, path: Path) -> Any:
        """The value of a node that stands at ``path``."""
        self.lines[path] = _line(node.start_mark)
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.read(item, (*path, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._read_scalar(node, path)
        return self._refuse_tag(node, path)

    def _read_mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = _line(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._note(path, line, "a key must be one word")
                continue
            key = str(key_node.value)
            where = (*path, key)
            if key_node.tag == f"{_TAG}merge":
                self._note(path, line, "merge keys (<<) have no meaning here: use defaults")
            elif key in fields:
                self._note(where, line, f"given twice, first on line {self.lines[where]}")
            else:
                fields[key] = self.read(value_node, where)
        return fields

    def _read_scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text, kind = str(node.value), node.tag.removeprefix(_TAG)
        if kind == "str":
            return text
        if kind == "null":
            return None
        if kind == "bool":
            meaning = "true" if text.lower() in {"true", "yes", "on", "y"} else "false"
            if text.lower() == meaning:
                return meaning == "true"
            return self._refuse(path, f"YAML reads {_brief(text, path)} as {meaning}: write {meaning}, or {_QUOTES}")
        if kind == "int":
            if _PLAIN_NUMBER.fullmatch(text):
                return int(text)
            number = "a number" if _SECRETS in path else _number(node)
            what = f"YAML reads {_brief(text, path)} as {number}: write a plain whole number, or {_QUOTES}"
            return self._refuse(path, what)
        if kind in {"float", "timestamp"}:
            what = "a fraction" if kind == "float" else "a date"
            return self._refuse(path, f"YAML reads {_brief(text, path)} as {what}: put it in quotes if it is text")
        return self._refuse_tag(node, path)

    def _refuse_tag(self, node: yaml.Node, path: Path) -> Unreadable:
        named = "a YAML tag" if _SECRETS in path else f"the YAML tag {node.tag.replace(_TAG, '!!')}"
        return self._refuse(path, f"{named} has no meaning here")

    def _refuse(self, path: Path, message: str) -> Unreadable:
        self._note(path, self.lines[path], message)
        return UNREADABLE

    def _note(self, path: Path, line: int, message: str) -> None:
        self.problems.append(Problem(path_text(path), line, message))
        self.noted.add(path)


_QUOTES: Final = "quotes around text"


def _brief(text: str, path: Path) -> str:
    if _SECRETS in path:
        return "this value"
    return text if len(text) <= 40 else f"{text[:40]}…"


def _number(node: yaml.ScalarNode) -> str:
    """What YAML 1.1 makes of an octal, hexadecimal, base 60 or underscored number."""
    try:
        value = yaml.constructor.SafeConstructor().construct_yaml_int(node)
    except ValueError:
        return "a number"
    return f"the number {value}" if abs(value) < 10**18 else "a huge number"
