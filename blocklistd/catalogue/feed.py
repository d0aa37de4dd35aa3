"""One feed of the catalogue: a value that can only be built valid.

Takes the decoded YAML of one entry, gives a frozen ``Feed`` with every default filled in, durations in seconds
and sizes in bytes. Each rule that concerns one feed alone is here; what concerns several is in ``load``.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from blocklistd.addresses import parse_entry
from blocklistd.catalogue.schedule import Schedule, parse_schedule
from blocklistd.units import format_duration, parse_duration, parse_share, parse_size
from blocklistd.urls import check_url, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["ip", "domain", "email", "asn", "asn_table", "country_table"]
Format = Literal["lines", "csv", "json", "ndjson", "regex", "fail2ban"]
Category = Literal[
    "tor",
    "tor_relay",
    "vpn",
    "proxy",
    "residential_proxy",
    "relay",
    "attacker",
    "abuse",
    "bot",
    "spam",
    "malware",
    "hosting",
    "cdn",
    "crawler",
    "bogon",
    "disposable",
    "free_mail",
    "reputation",
]
Role = Literal[
    "address",
    "network",
    "first",
    "last",
    "asn",
    "name",
    "country",
    "count",
    "provider",
    "first_seen",
    "last_seen",
    "domain",
    "email",
]
Terms = Literal["free", "noncommercial", "prohibited"]
Status = Literal["active", "ended"]

BOGONS: Final = "bogons"
"""The word in ``exclude`` that stands for all special-use space."""

TABLES: Final = frozenset({"asn_table", "country_table"})
"""Kinds that say something about every address and list none."""

DEFAULT_WEIGHT: Final = 20
CATEGORY_WEIGHTS: Final = {"hosting": 10, "cdn": 0, "crawler": 0, "bogon": 0, "free_mail": 0}
"""Weights of feeds that name none: an entry of these categories is no accusation by itself."""

MAIL_CATEGORIES: Final = frozenset({"disposable", "free_mail"})
"""Categories of mail domains and addresses, never of an IP address."""

NEEDED_ROLES: Final[dict[str, tuple[frozenset[str], ...]]] = {
    "ip": (frozenset({"address"}), frozenset({"network"}), frozenset({"first", "last"})),
    "domain": (frozenset({"domain"}),),
    "email": (frozenset({"email"}),),
    "asn": (frozenset({"asn"}),),
    "asn_table": (frozenset({"first", "last", "asn"}), frozenset({"network", "asn"})),
    "country_table": (frozenset({"first", "last", "country"}), frozenset({"network", "country"})),
}
"""For each kind, the sets of roles of which a record must have at least one whole."""

OPTIONS: Final[dict[str, frozenset[str]]] = {
    "lines": frozenset(),
    "csv": frozenset({"delimiter", "header", "columns"}),
    "json": frozenset({"paths", "records", "columns"}),
    "ndjson": frozenset({"paths", "records", "columns"}),
    "regex": frozenset({"pattern"}),
    "fail2ban": frozenset(),
}
"""The options each format takes; any other is a mistake, not something to ignore."""

ALL_OPTIONS: Final = frozenset[str]().union(*OPTIONS.values())

LARGEST_BODY: Final = 2**30
"""No feed may be given a larger ``max_bytes``: bodies are unpacked in memory."""

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""``${NAME}`` in a header value stands for an environment variable."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", re.ASCII)

Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


def is_feed_id(text: str) -> bool:
    """Whether a text is written like the id of a feed (``bogons`` included)."""
    return re.fullmatch(r"[a-z0-9_]{1,64}", text) is not None


def _check_homepage(url: str) -> str:
    return check_url(url, schemes=("https", "http"))


def _check_excluded(item: str) -> str:
    if not is_feed_id(item) and parse_entry(item) is None:
        raise ValueError(f"{item!r} is neither {BOGONS!r}, a network nor the id of a feed")
    return item


def _check_column(column: int | str) -> int | str:
    if column in {0, ""}:
        raise ValueError("names no column: count from 1, or from the right with -1")
    return column


def _check_jmespath(path: str) -> str:
    try:
        jmespath.compile(path)
    except JMESPathError as error:
        reason = str(error).splitlines()[0].removeprefix("Invalid jmespath expression: ").rstrip(":")
        raise ValueError(f"{path!r} is no JMESPath expression: {reason}") from None
    return path


def _check_positive(amount: int) -> int:
    if amount < 1:
        raise ValueError("must be more than 0")
    return amount


Positive = AfterValidator(_check_positive)
Url = Annotated[str, AfterValidator(check_url)]
Expression = Annotated[str, AfterValidator(_check_jmespath)]


def _check_part(share: float) -> float:
    if share > 1:
        raise ValueError("must be at most 100%")
    return share


Share = Annotated[float, BeforeValidator(parse_share)]
PartShare = Annotated[Share, AfterValidator(_check_part)]


class Gate(BaseModel):
    """How far a new version of a feed may differ from its past and still be believed; shares, 1.0 is all of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    shrink: PartShare = 0.4
    """It may lose so much of its entries at once."""
    growth: Share = 2.0
    """It may grow by so much at once, in entries and in addresses."""
    overlap: PartShare = 0.02
    """At least so much must be common to it and the version before, of all addresses that either covers."""
    rejects: PartShare = 0.1
    """The share of lines that are no entry may rise by so much."""
    space: PartShare | None = None
    """So much of the address space it may cover; where not given that depends on the category."""
    canaries: bool = True
    """Whether it may not name public resolvers and this host."""


def _read_gate(value: Any) -> Any:
    if value is None:
        raise ValueError("is empty: write none, or a mapping such as {shrink: 60%}")
    return None if value == "none" else value


class FeedMistakes(ValueError):
    """What is wrong with a feed as a whole: pairs of the fields concerned and a sentence."""

    def __init__(self, mistakes: tuple[tuple[frozenset[str], str], ...]) -> None:
        self.mistakes = mistakes
        super().__init__("; ".join(sentence for _, sentence in mistakes))


class Feed(BaseModel):
    """One feed as feeds.yaml describes it. Durations are seconds, sizes bytes; a YAML list is a tuple."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    id: Identifier
    title: str = ""
    urls: tuple[Url, ...] = Field(min_length=1)
    """The parts of the list, joined in this order."""
    fallback: tuple[Url, ...] = ()
    """Other places of the whole list, tried in this order."""
    format: Format
    kind: Kind = "ip"
    category: Category | None = None
    """None for the tables only."""
    weight: int = Field(default=DEFAULT_WEIGHT, ge=0, le=100)
    group: Identifier | None = None
    includes: tuple[Identifier, ...] = ()
    provider: str | None = None
    every: Annotated[Schedule, BeforeValidator(parse_schedule)] = Schedule(interval=3600)
    floor: Duration = 0
    keep: Duration = 0
    stale_after: Annotated[Duration, Positive] = 3 * 86400
    """Where not given: three days or three turns, whichever is longer."""
    drop_after: Annotated[Duration, Positive] = 30 * 86400
    """Where not given: thirty days or ten turns, whichever is longer, and never before ``stale_after``."""
    exclude: tuple[Annotated[str, AfterValidator(_check_excluded)], ...] = ()
    min_count: int = Field(default=0, ge=0)
    widen: int | None = Field(default=None, ge=16, le=128)
    subdomains: bool = False
    """Domain feeds: every name stands for all names below it as well."""
    gate: Annotated[Gate | None, BeforeValidator(_read_gate)] = Gate()
    """How a new version is judged; None takes any list that can be read."""
    allow_empty: bool = False
    allow_wide: bool = False
    """Accept entries wider than an IPv4 /8 or IPv6 /16; bogon lists and tables always may hold them."""
    enabled: bool = True
    """Where not given: on, but off for a feed that has ended or whose terms are ``prohibited``."""
    terms: Terms = "free"
    status: Status = "active"
    replaced_by: Identifier | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    """As written; ``load.expand_headers`` fills in the environment variables."""
    max_bytes: Annotated[Size, Positive] = 64 * 2**20
    timeout: Annotated[Duration, Positive] = 60
    homepage: Annotated[str, AfterValidator(_check_homepage)] | None = None
    member: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = False
    columns: dict[Role, Annotated[int | str, AfterValidator(_check_column)]] = Field(default_factory=dict)
    paths: tuple[Expression, ...] = ()
    records: Expression | None = None
    pattern: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _prepare(cls, data: Any) -> Any:
        """``url: x`` is short for ``urls: [x]``; lists become tuples; defaults that depend on other fields."""
        if not isinstance(data, dict):
            return data
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
        }
        if "url" in fields:
            if "urls" in fields:
                raise FeedMistakes(((frozenset({"urls"}), "give either url or urls, not both"),))
            fields["urls"] = (fields.pop("url"),)
        if isinstance(fields.get("category"), str):
            fields.setdefault("weight", CATEGORY_WEIGHTS.get(fields["category"], DEFAULT_WEIGHT))
        if fields.get("status") == "ended" or fields.get("terms") == "prohibited":
            fields.setdefault("enabled", False)
        try:
            period = round(parse_schedule(fields.get("every", "1h")).period)
            stale = parse_duration(fields.get("stale_after", format_duration(max(3 * 86400, 3 * period))))
        except ValueError:  # reported by the field itself
            return fields
        fields.setdefault("stale_after", format_duration(stale))
        fields.setdefault("drop_after", format_duration(max(30 * 86400, 10 * period, stale)))
        return fields

    @field_validator("id")
    @classmethod
    def _check_id(cls, name: str) -> str:
        if name == BOGONS:
            raise ValueError(f"{BOGONS!r} is taken: in exclude it stands for all special-use space")
        return name

    @field_validator("urls", "fallback")
    @classmethod
    def _check_unique(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(urls):
            if url in urls[:number]:
                raise ValueError(f"{shown(url)!r} stands twice")
        return urls

    @field_validator("max_bytes")
    @classmethod
    def _check_size(cls, size: int) -> int:
        if size > LARGEST_BODY:
            raise ValueError("must be at most 1GiB")
        return size

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str) -> str:
        if delimiter in '"\r\n\0':
            raise ValueError("a quotation mark or line break cannot separate columns")
        return delimiter

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = set(re.compile(pattern).groupindex)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if unknown := groups - set(get_args(Role)):
            raise ValueError(f"group {min(unknown)!r} is no role; known are {', '.join(get_args(Role))}")
        return pattern

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _HEADER_NAME.fullmatch(name) is None:
                raise ValueError("a header's name is malformed: write {Name: value}, one blank after the colon")
            if not value.isascii() or not value.isprintable():
                raise ValueError(f"the value of {name} must be one line of ASCII")
            if "${" in VARIABLE.sub("", value):
                raise ValueError(f"the value of {name} holds a ${{ that names no variable: write ${{NAME}}")
        return headers

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if mistakes := tuple((frozenset(fields.split()), text) for fields, text in self._mistakes()):
            raise FeedMistakes(mistakes)
        return self

    def _mistakes(self) -> Iterator[tuple[str, str]]:
        """Every contradiction between fields, with the names of the fields it concerns."""
        yield from self._kind_mistakes()
        if self.status == "ended" and self.enabled:
            yield "status enabled", "a feed that has ended cannot be enabled"
        if self.replaced_by is not None and self.status != "ended":
            yield "status replaced_by", "replaced_by is for a feed that has ended: add status: ended"
        if self.drop_after < self.stale_after:
            after, stale = format_duration(self.drop_after), format_duration(self.stale_after)
            yield "drop_after stale_after", f"drop_after ({after}) is shorter than stale_after ({stale})"
        if doubled := set(self.urls) & set(self.fallback):
            yield "urls fallback", f"{shown(min(doubled))!r} is a fallback of itself"
        yield from self._format_mistakes()

    def _format_mistakes(self) -> Iterator[tuple[str, str]]:
        for extra in sorted((ALL_OPTIONS & self.model_fields_set) - OPTIONS[self.format]):
            yield f"format {extra}", f"format {self.format} takes no {extra}"
        if self.min_count and "count" not in self._roles:
            yield "min_count columns pattern", "min_count needs a column or named group with the role count"
        if self.format == "csv":
            yield from self._csv_mistakes()
        if self.format == "regex" and self.pattern is None:
            yield "format pattern", "format regex needs a pattern"
        elif self.format == "regex" and not self._has_needed:
            yield "format kind pattern", self._needed("named groups")
        if self.format in {"json", "ndjson"}:
            yield from self._json_mistakes()

    def _kind_mistakes(self) -> Iterator[tuple[str, str]]:
        if self.kind not in TABLES and self.category is None:
            yield "category kind", "a feed that lists something needs a category"
        if self.kind in TABLES and self.category is not None:
            yield "category kind", f"a feed of kind {self.kind} lists nothing, so it has no category"
        if self.category in MAIL_CATEGORIES and self.kind not in {"domain", "email"}:
            yield "category kind", f"category {self.category} is for feeds of kind domain or email"
        if self.subdomains and self.kind != "domain":
            yield "subdomains kind", "subdomains is for feeds of kind domain"
        if self.widen is not None and self.kind != "ip":
            yield "widen kind", "widen is for feeds of kind ip"
        if self.format == "fail2ban" and self.kind != "ip":
            yield "format kind", "format fail2ban lists addresses: kind must be ip"
        if self.format == "lines" and self.kind in TABLES:
            yield "format kind", f"a feed of kind {self.kind} needs columns: use format csv, json or regex"

    def _csv_mistakes(self) -> Iterator[tuple[str, str]]:
        if not self._has_needed:
            yield "format kind columns", self._needed("columns")
        names = [column for column in self.columns.values() if isinstance(column, str)]
        if names and not self.header:
            yield "columns header", f"column {names[0]!r} is a name: that takes header: true"

    def _json_mistakes(self) -> Iterator[tuple[str, str]]:
        if bool(self.paths) == bool(self.records):
            yield "format paths records", f"format {self.format} needs either paths or records with columns"
            return
        if self.paths and self.columns:
            yield "paths columns", "columns go with records; paths give the entries themselves"
        if self.paths and self.kind in TABLES:
            yield "paths kind", f"a feed of kind {self.kind} needs records with columns"
        if self.records and not self._has_needed:
            yield "format kind columns", self._needed("columns")
        for role, column in self.columns.items() if self.records else ():
            if isinstance(column, int):
                yield "columns", f"columns.{role} must be a JMESPath expression, not a number"
                continue
            try:
                _check_jmespath(column)
            except ValueError as error:
                yield "columns", f"columns.{role}: {error}"

    @property
    def _roles(self) -> set[str]:
        groups = set() if self.pattern is None else set(re.compile(self.pattern).groupindex)
        return groups.union(self.columns)

    @property
    def _has_needed(self) -> bool:
        return any(needed <= self._roles for needed in NEEDED_ROLES[self.kind])

    def _needed(self, what: str) -> str:
        choices = " or ".join(" + ".join(sorted(needed)) for needed in NEEDED_ROLES[self.kind])
        return f"kind {self.kind} needs {what}: {choices}"

    @property
    def wide_allowed(self) -> bool:
        """Whether entries wider than /8 or /16 are accepted."""
        return self.allow_wide or self.category == "bogon" or self.kind in TABLES

    @property
    def parse_key(self) -> str:
        """A digest of the fields that parsing uses: the same bytes under the same key read the same."""
        fields = self.model_dump(
            mode="json",
            include={
                *("id", "format", "kind", "category", "min_count", "subdomains", "allow_wide", "member"),
                *("delimiter", "header", "columns", "paths", "records", "pattern", "max_bytes"),
            },
        )
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]
