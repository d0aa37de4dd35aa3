"""The tokens of lists that are no addresses: domains, e-mail addresses, AS numbers, countries, counts, times.

Each reader takes one cell or word and gives its canonical value, or nothing where it is none. They never raise.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import idna

from blocklistd.addresses import parse_listed

MAX_ASN: Final = 2**32 - 1
MAX_TIME: Final = 2**32 - 1

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?:{_LABEL}\.)+(?=[a-z0-9-]*[a-z])[a-z0-9](?:[a-z0-9-]{{0,61}}[a-z0-9])", re.ASCII)
_ASN = re.compile(r"(?:AS)?\s?(\d{1,10})", re.ASCII | re.IGNORECASE)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_EMAIL = re.compile(r"[^\s@<>\"]{1,64}@[^\s@<>\"]{1,253}")
_NUMBER = re.compile(r"\d{1,19}(?:\.\d*)?", re.ASCII)


def read_domain(text: str, *, subdomains: bool = False) -> str | None:
    """A domain name in lower-case ASCII, ``*.name`` where it stands for everything below, None if it is no name.

    Knows ``name``, ``*.name``, ``.name``, ``||name^``, URLs, and a trailing dot, slash or port. A name has a dot, and
    an address or ``localhost`` is none.
    """
    word = text.strip()
    if "://" in word:
        word = _host_of(word)
    else:
        word = word.removeprefix("||").partition("/")[0].partition("^")[0]
        if word.count(":") == 1:
            word = re.sub(r":\d{1,5}$", "", word)
    wildcard = subdomains
    for prefix in ("*.", "."):
        if word.startswith(prefix):
            word, wildcard = word.removeprefix(prefix), True
            break
    word = word.rstrip(".").lower()
    if not word.isascii():
        word = _to_ascii(word)
    if len(word) > 253 or _NAME.fullmatch(word) is None or word.endswith((".localhost", ".localdomain")):
        return None
    return f"*.{word}" if wildcard else word


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _to_ascii(name: str) -> str:
    if len(name) > 253:
        return ""
    try:
        return idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""


def domain_as_written(name: str) -> str:
    """A domain in ASCII with the letters that it stands for; as it is where it stands for none."""
    if "xn--" not in name:
        return name
    try:
        return idna.decode(name)
    except (idna.IDNAError, UnicodeError):
        return name


def read_host_names(words: list[str]) -> list[str]:
    """The names on a line: all after the address of a hosts file, else the first word."""
    if len(words) > 1 and parse_listed(words[0]) is not None:
        return words[1:]
    return words[:1]


def read_email(text: str) -> str | None:
    """An e-mail address, trimmed and in lower case, or None."""
    word = text.strip().lower()
    return word if _EMAIL.fullmatch(word) is not None else None


def read_asn(text: str) -> int | None:
    """The number of ``AS64496`` or ``64496``, or None."""
    match = _ASN.fullmatch(text.strip())
    if match is None or (number := int(match[1])) > MAX_ASN:
        return None
    return number


def read_country(text: str) -> str:
    """A country code of two capital letters, or the empty text."""
    word = text.strip().upper()
    return word if _COUNTRY.fullmatch(word) is not None else ""


def read_count(text: str) -> int:
    """A count, cut at 2**32 - 1; 0 where there is none."""
    match = _NUMBER.fullmatch(text.strip())
    return min(int(match[0].partition(".")[0]), MAX_TIME) if match is not None else 0


def read_time(text: str) -> int:
    """Unix seconds of a number (milliseconds too), ISO 8601 or RFC 5322 text; UTC unless said, 0 for none."""
    word = text.strip()
    match = _NUMBER.fullmatch(word)
    if match is not None:
        number = int(match[0].partition(".")[0])
        return _bounded(number // 1000 if number >= 10**11 else number)
    moment = _moment(word[:64])
    if moment is None:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return _bounded(int(moment.timestamp()))
    except (OverflowError, ValueError, OSError):
        return 0


def _bounded(seconds: int) -> int:
    return seconds if 0 <= seconds <= MAX_TIME else 0


def _moment(word: str) -> datetime | None:
    if word[:1].isdigit():
        try:
            return datetime.fromisoformat(word.removesuffix(" UTC"))
        except ValueError:
            pass
    for pattern in ("%a %b %d %H:%M:%S UTC %Y", "%a %b %d %H:%M:%S %Y UTC", "%a %b %d %H:%M:%S %Y"):
        try:
            return datetime.strptime(word, pattern).replace(tzinfo=UTC)
        except ValueError:
            pass
    try:
        return parsedate_to_datetime(word)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


_HEADING = re.compile(
    r"^[#;/\s*]*(source file date|this file date|last[ -]?(?:update[d]?|modified)|updated|generated(?: at| on)?)"
    r"\s*:?\s*(?:at |on )?(.{4,64})$",
    re.IGNORECASE | re.MULTILINE,
)
_OF_HEADINGS: Final = ("date", "modified", "generated")
"""One of these is in whatever the pattern finds; most lists have none, and looking for a word is quick."""
_COMMENTED: Final = ("#", ";", "//")


def date_in_heading(opening: str) -> float | None:
    """The date a list bears in its comment lines; the date of its source goes before the date of a copy."""
    lowered = opening.lower()
    if not any(word in lowered for word in _OF_HEADINGS):
        return None
    dates: dict[str, int] = {}
    for match in _HEADING.finditer(opening):
        name = match[1].lower()
        if name in dates or not match[0].lstrip().startswith(_COMMENTED) or not (moment := read_time(match[2])):
            continue
        if name == "source file date":
            return float(moment)
        dates[name] = moment
    return float(next(iter(dates.values()))) if dates else None
