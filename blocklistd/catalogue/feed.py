"""One feed of the catalogue: a value that can only be built valid.

Takes the decoded YAML of one entry, gives a frozen ``Feed`` with every default filled in, durations in seconds and
sizes in bytes. Each rule that concerns one feed alone is here; what concerns several is in ``load``.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Annotated, Any, Final, Literal, Self, get_args
from urllib.parse import urlsplit

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from blocklistd.addresses import parse_entry
from blocklistd.catalogue.schedule import Schedule, parse_schedule
from blocklistd.catalogue.units import parse_duration, parse_size

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

BOGONS: Final = "bogons"
"""The word in ``exclude`` that stands for all special-use space."""

TABLES: Final = frozenset({"asn_table", "country_table"})
"""Kinds that say something about every address and list none."""

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

Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Identifier = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Feed(BaseModel):
    """One feed as feeds.yaml describes it. Durations are seconds, sizes bytes; tuples where YAML has lists."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    id: Identifier
    title: str = ""
    urls: tuple[str, ...] = Field(min_length=1)
    """The parts of the list, joined in this order."""
    fallback: tuple[str, ...] = ()
    format: Format
    kind: Kind = "ip"
    category: Category | None = None
    weight: int = Field(default=20, ge=0, le=100)
    group: str | None = None
    includes: tuple[Identifier, ...] = ()
    provider: str | None = None
    every: Annotated[Schedule, BeforeValidator(parse_schedule)] = Schedule(interval=3600)
    floor: Duration = 0
    keep: Duration = 0
    stale_after: Duration = 3 * 86400
    drop_after: Duration = 30 * 86400
    exclude: tuple[str, ...] = ()
    min_count: int = Field(default=0, ge=0)
    widen: int | None = Field(default=None, ge=16, le=128)
    subdomains: bool = False
    """Domain feeds: every name stands for all names below it as well."""
    allow_empty: bool = False
    allow_wide: bool = False
    """Accept entries wider than an IPv4 /8 or IPv6 /16; bogon lists and tables always may hold them."""
    enabled: bool = True
    terms: Terms = "free"
    status: Literal["active", "ended"] = "active"
    replaced_by: Identifier | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    max_bytes: Size = 64 * 2**20
    timeout: Duration = 60
    homepage: str | None = None
    member: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    header: bool = False
    columns: dict[Role, int | str] = Field(default_factory=dict)
    paths: tuple[str, ...] = ()
    records: str | None = None
    pattern: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _join_url(cls, data: Any) -> Any:
        """``url: x`` is short for ``urls: [x]``; YAML lists become tuples."""
        if not isinstance(data, dict):
            return data
        fields = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        if "url" in fields:
            if "urls" in fields:
                raise ValueError("give either url or urls, not both")
            fields["urls"] = (fields.pop("url"),)
        return fields

    @field_validator("urls", "fallback")
    @classmethod
    def _check_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            _check_url(url)
        return urls

    @field_validator("exclude")
    @classmethod
    def _check_exclude(cls, exclude: tuple[str, ...]) -> tuple[str, ...]:
        for item in exclude:
            if item != BOGONS and not re.fullmatch(r"[a-z0-9_]{1,64}", item) and parse_entry(item) is None:
                raise ValueError(f"{item!r} is neither 'bogons', a network nor a feed id")
        return exclude

    @field_validator("columns")
    @classmethod
    def _check_columns(cls, columns: dict[str, int | str]) -> dict[str, int | str]:
        for role, column in columns.items():
            if column == 0 or column == "":
                raise ValueError(f"column of {role} is empty: count from 1, from the right with -1, or give its name")
        return columns

    @field_validator("paths", "records")
    @classmethod
    def _check_paths(cls, value: tuple[str, ...] | str | None) -> tuple[str, ...] | str | None:
        for path in (value,) if isinstance(value, str) else value or ():
            try:
                jmespath.compile(path)
            except JMESPathError as error:
                raise ValueError(f"{path!r} is no JMESPath expression: {str(error).splitlines()[0]}") from None
        return value

    @field_validator("pattern")
    @classmethod
    def _check_pattern(cls, pattern: str | None) -> str | None:
        if pattern is None:
            return None
        try:
            groups = set(re.compile(pattern).groupindex)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        if unknown := groups - set(get_args(Role)):
            raise ValueError(f"group {sorted(unknown)[0]!r} is no role; known are {', '.join(get_args(Role))}")
        return pattern

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or re.search(r"[\r\n\0]", value):
                raise ValueError(f"{name!r} is no HTTP header with a one-line value")
        return headers

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.kind not in TABLES and self.category is None:
            raise ValueError("a feed that lists something needs a category")
        if self.kind in TABLES and self.category is not None:
            raise ValueError(f"a {self.kind} lists nothing, so it has no category")
        given = {name for name in ("delimiter", "header", "columns", "paths", "records", "pattern")} & (
            self.model_fields_set
        )
        if extra := given - OPTIONS[self.format]:
            raise ValueError(f"format {self.format} takes no {' or '.join(sorted(extra))}")
        self._check_format()
        if self.status == "ended" and self.enabled:
            raise ValueError("a feed that has ended cannot be enabled")
        if self.terms == "prohibited" and self.enabled and "enabled" not in self.model_fields_set:
            raise ValueError("terms: prohibited needs an explicit enabled: true or false")
        return self

    def _check_format(self) -> None:
        if self.format == "fail2ban" and self.kind != "ip":
            raise ValueError("format fail2ban lists addresses: kind must be ip")
        if self.format == "lines" and self.kind in TABLES:
            raise ValueError(f"a {self.kind} needs columns: use format csv, json or regex")
        if self.format == "regex" and self.pattern is None:
            raise ValueError("format regex needs a pattern")
        if self.format in {"json", "ndjson"} and bool(self.paths) == bool(self.records):
            raise ValueError(f"format {self.format} needs either paths or records with columns")
        if self.format in {"json", "ndjson"} and self.kind in TABLES and self.paths:
            raise ValueError(f"a {self.kind} needs records with columns")
        if (self.format == "csv" or self.records) and not self._has_needed(set(self.columns)):
            raise ValueError(f"kind {self.kind} needs columns: {self._needed_text()}")
        if self.format == "regex" and self.pattern is not None:
            groups = set(re.compile(self.pattern).groupindex)
            if not self._has_needed(groups):
                raise ValueError(f"kind {self.kind} needs named groups: {self._needed_text()}")
        if self.min_count and not (self.columns.keys() | _groups(self.pattern)) & {"count"}:
            raise ValueError("min_count needs a column or group with the role count")
        named = [column for column in self.columns.values() if isinstance(column, str)]
        if self.format == "csv" and named and not self.header:
            raise ValueError(f"column {named[0]!r} is a name, but header is not true")
        if self.records and len(named) < len(self.columns):
            raise ValueError("columns of JSON records are JMESPath expressions, not numbers")

    def _has_needed(self, roles: set[str]) -> bool:
        return any(needed <= roles for needed in NEEDED_ROLES[self.kind])

    def _needed_text(self) -> str:
        return " or ".join("+".join(sorted(needed)) for needed in NEEDED_ROLES[self.kind])

    @property
    def wide_allowed(self) -> bool:
        """Whether entries wider than /8 or /16 are accepted."""
        return self.allow_wide or self.category == "bogon" or self.kind in TABLES

    @property
    def parse_key(self) -> str:
        """Changes whenever the same bytes could be read differently: a digest of the fields that parsing uses."""
        fields = self.model_dump(
            mode="json",
            include={
                *("id", "format", "kind", "category", "min_count", "subdomains", "allow_wide", "member"),
                *("delimiter", "header", "columns", "paths", "records", "pattern", "max_bytes"),
            },
        )
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def _groups(pattern: str | None) -> set[str]:
    return set() if pattern is None else set(re.compile(pattern).groupindex)


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{url!r} is no URL: {error}") from None
    if parts.scheme not in {"http", "https", "file"}:
        raise ValueError(f"{url!r} must start with http://, https:// or file:")
    if parts.scheme == "file":
        if not parts.path.startswith("/") or host not in {None, "", "localhost"}:
            raise ValueError(f"{url!r} must be file:///absolute/path")
    elif not host:
        raise ValueError(f"{url!r} names no host")
