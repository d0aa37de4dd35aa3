"""The shape of policy.yaml: what each key may hold. Every value is checked by itself; ``load`` checks them together.

A validator here raises ValueError with the whole sentence for the user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from blocklistd.addresses import networks_of, parse_entry
from blocklistd.catalogue.feed import Category, is_feed_id
from blocklistd.catalogue.sentences import shown, unknown_word
from blocklistd.reputation.countries import countries
from blocklistd.reputation.policy.model import (
    MOST_SCORE,
    SUPPRESSED_BY_DEFAULT,
    SUPPRESSED_BY_WISH,
    VERDICTS,
    DecisionLogging,
)
from blocklistd.reputation.report import FLAGS, ConnectionType, FailMode
from blocklistd.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LARGEST_ASN: Final = 2**32 - 1
LONGEST_NAME: Final = 80
LONGEST_RETENTION: Final = 3650 * 86400
SMALLEST_LOG: Final = 2**16
SETS: Final = (*SUPPRESSED_BY_DEFAULT, *SUPPRESSED_BY_WISH)

_ASN = re.compile(r"(?:AS)?([0-9]{1,10})", re.ASCII | re.IGNORECASE)
_NO_CODES: Final = {"UK": "GB", "EU": "the codes of its countries"}
"""What people write for a code that does not exist, and what they mean."""


def one_of(noun: str, words: Iterable[str]) -> BeforeValidator:
    """A word of a fixed set."""
    known = tuple(words)

    def check(value: Any) -> str:
        if isinstance(value, str) and value in known:
            return value
        raise ValueError(unknown_word(noun, value, known))

    return BeforeValidator(check)


def _listed(value: Any) -> Any:
    """A single value stands for a list of one."""
    return value if isinstance(value, list) else [value]


def _check_name(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > LONGEST_NAME:
        raise ValueError(f"a name is one line of up to {LONGEST_NAME} characters, such as: Tor at login")
    return value


def parse_asn(value: Any) -> int:
    """The number of 64500, "64500" or AS64500; raises ValueError."""
    match = _ASN.fullmatch(str(value)) if isinstance(value, int | str) and not isinstance(value, bool) else None
    if match is None or not 1 <= int(match[1]) <= LARGEST_ASN:
        raise ValueError(f"{shown(value)} is no AS number: write AS64500")
    return int(match[1])


def _check_country(value: Any) -> str:
    if isinstance(value, str) and (meant := _NO_CODES.get(value.upper())):
        raise ValueError(f"{value!r} is no country code: write {meant}")
    if not isinstance(value, str) or value not in countries():
        raise ValueError(f"{shown(value)} is no country code: two capital letters of ISO 3166-1, such as DE")
    return value


def _check_feed(value: Any) -> str:
    if not isinstance(value, str) or not is_feed_id(value):
        raise ValueError(f"{shown(value)} is no feed id: 1 to 64 of a-z, 0-9 and _")
    return value


def _parse_suppressed(value: Any) -> tuple[str, Any]:
    """Which of ``sets``, ``asns`` and ``networks`` an entry of ``suppress`` belongs to, and its value."""
    if isinstance(value, str) and value in SETS:
        return "sets", value
    if isinstance(value, str) and _ASN.fullmatch(value) and not value.isdigit():
        return "asns", parse_asn(value)
    entry = parse_entry(value) if isinstance(value, str) and ("." in value or ":" in value) else None
    networks = networks_of(*entry[:3]) if entry is not None else []
    if len(networks) != 1:
        sets = ", ".join(SETS)
        raise ValueError(f"{shown(value)} cannot be suppressed: write {sets}, AS64500, an address or a CIDR network")
    return "networks", networks[0]


def _within(parse: Callable[[Any], int], low: int, high: int | None, sentence: str) -> BeforeValidator:
    def check(value: Any) -> int:
        number = parse(value)
        if number < low or (high is not None and number > high):
            raise ValueError(sentence)
        return number

    return BeforeValidator(check)


def _list_of(check: BeforeValidator) -> Any:
    return Annotated[list[Annotated[Any, check]], BeforeValidator(_listed), Field(min_length=1)]


class Fields(BaseModel):
    """Unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)


class ScoreFields(Fields):
    """``score:`` of a condition."""

    at_least: int = Field(default=0, ge=0, le=MOST_SCORE)
    below: int = Field(default=MOST_SCORE + 1, ge=1, le=MOST_SCORE + 1)


class ConditionFields(Fields):
    """What ``not:`` may hold."""

    flags: _list_of(one_of("flag", FLAGS)) = ()  # type: ignore[valid-type]
    country: _list_of(BeforeValidator(_check_country)) = ()  # type: ignore[valid-type]
    asn: _list_of(BeforeValidator(parse_asn)) = ()  # type: ignore[valid-type]
    connection_type: _list_of(one_of("connection type", get_args(ConnectionType))) = ()  # type: ignore[valid-type]
    feeds: _list_of(BeforeValidator(_check_feed)) = ()  # type: ignore[valid-type]
    categories: _list_of(one_of("category", get_args(Category))) = ()  # type: ignore[valid-type]
    score: ScoreFields = ScoreFields()


class WhenFields(ConditionFields):
    """``when:`` of a rule; ``not`` holds one condition or several, none of which may be true."""

    unless: Annotated[list[ConditionFields], BeforeValidator(_listed), Field(alias="not", min_length=1)] = []


VerdictWord = Annotated[str, one_of("verdict", VERDICTS)]


class RuleFields(Fields):
    """One of ``rules:``; an absent verdict is empty."""

    name: Annotated[str, BeforeValidator(_check_name)]
    when: WhenFields
    then: VerdictWord = ""
    at_least: VerdictWord = ""
    at_most: VerdictWord = ""


class BandFields(Fields):
    """Where each verdict begins; 0 stands for a verdict that no score reaches."""

    flag: int = Field(default=0, ge=1, le=MOST_SCORE)
    challenge: int = Field(default=0, ge=1, le=MOST_SCORE)
    block: int = Field(default=0, ge=1, le=MOST_SCORE)


class ProfileFields(Fields):
    """One of ``profiles:``."""

    bands: BandFields = BandFields(flag=20, challenge=45, block=80)
    rules: list[RuleFields] = []
    fail: Annotated[str, one_of("fail mode", get_args(FailMode))] = "open"
    shadow: bool = False


class DecisionLogFields(Fields):
    """``decision_log:``."""

    enabled: bool = False
    addresses: Annotated[str, one_of("way to log addresses", ("truncated", "whole"))] = "truncated"
    retention: Annotated[int, _within(parse_duration, 86400, LONGEST_RETENTION, "must be 1d to 3650d")] = (
        DecisionLogging().retention
    )
    max_bytes: Annotated[int, _within(parse_size, SMALLEST_LOG, None, "must be at least 64KiB")] = (
        DecisionLogging().max_bytes
    )


class PolicyFields(Fields):
    """The whole file."""

    profiles: dict[str, ProfileFields]
    suppress: list[Annotated[Any, BeforeValidator(_parse_suppressed)]] = [
        ("sets", name) for name in SUPPRESSED_BY_DEFAULT
    ]
    decision_log: DecisionLogFields = DecisionLogFields()


KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": tuple(PolicyFields.model_fields),
    "profiles": tuple(ProfileFields.model_fields),
    "bands": tuple(BandFields.model_fields),
    "rules": tuple(RuleFields.model_fields),
    "when": (*ConditionFields.model_fields, "not"),
    "not": tuple(ConditionFields.model_fields),
    "score": tuple(ScoreFields.model_fields),
    "decision_log": tuple(DecisionLogFields.model_fields),
}
"""The keys that are known below a key."""
