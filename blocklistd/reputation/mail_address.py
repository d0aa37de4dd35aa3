"""E-mail addresses and domains as they are written: text → MailAddress, text → DomainName. Pure, no DNS.

Syntax is email-validator's business, registrable domains that of the public suffix list; both are imported with this
module, so import it late. What role accounts are called, which providers ignore what in a local part, and which
top-level domains are suspicious stands in data/mail.json; docs/mail.md says why.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from publicsuffixlist import PublicSuffixList

from blocklistd.addresses import Address, parse_address
from blocklistd.collect.names import domain_as_written, read_domain

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA: Final = Path(__file__).with_name("data") / "mail.json"
LONGEST: Final = 320
"""No text longer than this is looked at: 64 for the local part, 255 for the domain, and the ``@``."""
LONGEST_DOMAIN: Final = 260
NOT_IN_DOMAINS: Final = frozenset("*/|^:@ \t\r\n\0")


class DomainName(NamedTuple):
    """A domain in lower-case ASCII.

    written: with the letters it stands for; registrable: what somebody registered, None for a public suffix and where
    the top-level domain is unknown; public: mail from outside may reach it: it ends in a public suffix and is not for
    special use (RFC 6761); cheap: why its top-level domain is suspicious, None where it is not.
    """

    name: str
    written: str
    registrable: str | None
    public: bool
    cheap: str | None

    @property
    def parents(self) -> tuple[str, ...]:
        """The names above, up to the registrable one. Made when asked for: of a long name they are many."""
        if self.registrable is None:
            return ()
        labels = self.name.split(".")
        return tuple(".".join(labels[depth:]) for depth in range(1, len(labels) - self.registrable.count(".")))


@dataclass(frozen=True, slots=True)
class MailAddress:
    """What an address is by its text alone.

    address: with the domain in ASCII, or the text asked, cut, where it is none; problem: why it is none; domain: found
    in invalid addresses too, where that is possible; literal: the address in brackets that stands for a domain;
    canonical: in lower case, without what its provider ignores; forms: all that lists may name it by.
    """

    address: str
    problem: str | None = None
    local_part: str | None = None
    domain: DomainName | None = None
    literal: Address | None = None
    canonical: str | None = None
    subaddress: str | None = None
    quoted: bool = False
    role: bool = False
    forms: tuple[str, ...] = ()


class _Words(NamedTuple):
    """What data/mail.json holds."""

    roles: frozenset[str]
    separators: Mapping[str, str]
    dots_ignored: frozenset[str]
    same_as: Mapping[str, str]
    cheap: Mapping[str, str]


@lru_cache(maxsize=1)
def suffixes() -> PublicSuffixList:
    """The public suffixes; making the list takes some thirty milliseconds."""
    return PublicSuffixList(accept_unknown=False)


@lru_cache(maxsize=1)
def words() -> _Words:
    """The data, read once."""
    data: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return _Words(
        frozenset(role for roles in data["roles"].values() for role in roles),
        {domain: sign for sign, domains in data["subaddressing"].items() for domain in domains},
        frozenset(data["dots_ignored"]),
        data["same_as"],
        {tld: reason for reason, tlds in data["suspicious_tlds"].items() for tld in tlds},
    )


def read_domain_name(text: str) -> DomainName | None:
    """A question for a domain, None where it is none. Case and a final dot do not matter."""
    if len(text) > LONGEST_DOMAIN or NOT_IN_DOMAINS.intersection(text) or text.startswith("."):
        return None
    name = read_domain(text)
    return None if name is None else _describe(name)


@lru_cache(maxsize=4096)
def _describe(name: str) -> DomainName:
    suffix, registrable = suffixes().publicsuffix(name), suffixes().privatesuffix(name)
    special = any(name == known or name.endswith(f".{known}") for known in SPECIAL_USE_DOMAIN_NAMES)
    return DomainName(
        name,
        domain_as_written(name),
        registrable,
        suffix is not None and not special,
        words().cheap.get(name.rpartition(".")[2]),
    )


def read_mail_address(text: str) -> MailAddress:
    """What a text is as an address. Never raises."""
    if len(text) > LONGEST:
        return MailAddress(_plain(text[:LONGEST]), f"It is longer than {LONGEST} characters.")
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            globally_deliverable=False,
            allow_quoted_local=True,
            allow_domain_literal=True,
            strict=True,
        )
    except EmailNotValidError as error:
        return _invalid(text, str(error))
    except (ValueError, LookupError, RecursionError):  # a text that the library stumbles over is no address either
        return _invalid(text, "It cannot be read as an address.")
    local, host = found.local_part, found.ascii_domain
    quoted = local.startswith('"')
    if host.startswith("["):
        address = f"{local}@{host}"
        literal = parse_address(str(found.domain_address))
        lowered = address.lower()
        return MailAddress(address, None, local, None, literal, lowered, None, quoted, _is_role(local), (lowered,))
    host = host.lower()
    address, domain = f"{local}@{host}", read_domain_name(host)
    if domain is None:
        return _invalid(text, "The part after the @-sign is no domain that mail could go to.")
    canonical = local.lower() if quoted else _canonical_local(local.lower(), host)
    canonical = f"{canonical}@{words().same_as.get(host, host)}"
    return MailAddress(
        address=address,
        local_part=local,
        domain=domain,
        canonical=canonical,
        subaddress=None if quoted else _subaddress(local),
        quoted=quoted,
        role=_is_role(local),
        forms=tuple(dict.fromkeys([address.lower(), f"{local}@{domain.written}".lower(), canonical])),
    )


def _invalid(text: str, problem: str) -> MailAddress:
    domain = read_domain_name(text.rpartition("@")[2]) if "@" in text else None
    return MailAddress(_plain(text), problem, domain=domain)


def _plain(text: str) -> str:
    """A text that can be written: halves of characters replaced."""
    return text.encode(errors="replace").decode()


def _subaddress(local: str) -> str | None:
    """What follows the first plus, RFC 5233; None where there is nothing on either side."""
    user, sign, detail = local.partition("+")
    return detail if user and sign and detail else None


def _is_role(local: str) -> bool:
    return local.lower().partition("+")[0] in words().roles


def _canonical_local(local: str, host: str) -> str:
    """Without what the provider is known to ignore; where nothing would be left, as it is."""
    known = words()
    if sign := known.separators.get(host):
        local = local.partition(sign)[0] or local
    if host in known.dots_ignored:
        local = local.replace(".", "") or local
    return local
