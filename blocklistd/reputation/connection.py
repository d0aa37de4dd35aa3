"""What kind of connection a network gives its customers, and why we think so.

Takes what is known of an address (an operator's own database, the lists that name it, its ASN and the network's name),
gives a type and the reason in words. Nothing is guessed: a reason names its source, and where there is none the type is
``unknown``. The ASN lists and the words in names are data (``data/connection.json``); rules are tried in that order.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from blocklistd.reputation.report import ConnectionType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Connection(NamedTuple):
    """A connection type and the sentence that says where it comes from."""

    type: ConnectionType
    reason: str


TYPES: Final = frozenset(get_args(ConnectionType))
UNKNOWN: Final = Connection("unknown", "nothing that is known of this network tells")
NO_NETWORK: Final = Connection("unknown", "no network is known for this address")

_KNOWN_AS: Final[Mapping[str, str]] = {
    "hosting": "is known as a network of servers",
    "residential": "is known to connect mostly homes",
    "mobile": "is known as a mobile network",
    "education": "is known as a network of research and education",
    "government": "is known as a network of a government",
    "business": "is known as a company's own network",
}

TELLING: Final = ("relay", "crawler", "hosting", "cdn")
"""Categories of lists that decide the connection type, the first of them that names an address before all else."""


def of_lists(named_by: Mapping[str, str]) -> Connection | None:
    """What the lists say that name an address; None where they say nothing of its connection.

    named_by: category → feed, of those in ``TELLING``. A relay or crawler lives in a data centre and is judged as what
    it is, so neither the list nor the name of the data centre counts there.
    """
    for category in TELLING:
        if category in named_by:
            listed = f"listed by {named_by[category]} ({category})"
            if category in {"relay", "crawler"}:
                return Connection("unknown", f"{listed}: the network it lives in says nothing of who uses it")
            return Connection("hosting", listed)
    return None


@dataclass(frozen=True, slots=True)
class Rule:
    """A type, the words in a network's name that stand for it, and those beside which they mean something else."""

    type: ConnectionType
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None = None

    def find(self, name: str) -> str | None:
        """The word of a plain name that makes the rule hold, None if it does not."""
        match = self.pattern.search(name)
        if match is None or (self.unless is not None and self.unless.search(name)):
            return None
        return match[0]


@dataclass(frozen=True, slots=True)
class Rules:
    """The ASN lists and, in order, the rules for names."""

    networks: Mapping[int, ConnectionType]
    names: Sequence[Rule]

    def of_network(self, asn: int, name: str) -> Connection:
        """What a network's number and name say."""
        known = self.networks.get(asn)
        if known is not None:
            return Connection(known, f"AS{asn} {_KNOWN_AS[known]}")
        plain = _plain(name)
        for rule in self.names:
            word = rule.find(plain)
            if word is not None:
                return Connection(rule.type, f"name of AS{asn} contains '{word}'")
        return UNKNOWN

    @classmethod
    def from_document(cls, document: Any) -> Rules:
        """From the JSON document; raises ValueError that says what is wrong."""
        if not isinstance(document, dict) or set(document) != {"networks", "names"}:
            raise ValueError("networks and names are wanted, and nothing else")
        networks: dict[int, ConnectionType] = {}
        for kind, rows in document["networks"].items():
            for number in rows:
                if not number.isdigit() or int(number) in networks:
                    raise ValueError(f"{number!r} is no ASN or stands there twice")
                networks[int(number)] = _checked(kind)
        rules = []
        for row in document["names"]:
            if not {"type", "words"} <= set(row) <= {"type", "words", "unless"} or not row["words"]:
                raise ValueError("a rule has a type, at least one of words, and unless or not")
            unless = _pattern(row["unless"]) if "unless" in row else None
            rules.append(Rule(_checked(row["type"]), _pattern(row["words"]), unless))
        return cls(networks, tuple(rules))


@cache
def shipped_rules() -> Rules:
    """The rules that come with the program."""
    return Rules.from_document(json.loads(Path(__file__).with_name("data").joinpath("connection.json").read_bytes()))


def _checked(kind: str) -> ConnectionType:
    if kind not in TYPES or kind == "unknown":
        raise ValueError(f"{kind!r} is no connection type")
    checked: ConnectionType = kind  # type: ignore[assignment]  # it is one of them, as was just seen
    return checked


def _plain(text: str) -> str:
    """Lower case, without accents, every run of other characters than letters and digits one blank."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", "".join(c for c in folded if not unicodedata.combining(c))))


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Whole words and phrases; a final ``*`` stands for any ending."""
    for word in words:
        if _plain(word.removesuffix("*")) != word.removesuffix("*"):
            raise ValueError(f"write {word!r} in lower case, without accents and signs")
    alternatives = (word[:-1] + r"\w*" if word.endswith("*") else word for word in words)
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b")
