"""The shapes of reports on e-mail addresses and domains in the contract."""

from __future__ import annotations

from typing import Any, Final

from blocklistd.reputation.mail_signals import WEIGHTS
from blocklistd.web.shapes import (
    EVIDENCE,
    FACTS,
    FLAG,
    MAYBE,
    SCORE,
    SNAPSHOT,
    TIME,
    VERDICTS,
    members,
    questions,
    reference,
    text,
)

DOMAIN_FLAGS: Final = ("disposable", "free", "suspicious_tld", "attacker", "bot", "spam", "malware")
MAIL_FLAGS: Final = (*DOMAIN_FLAGS, "role")
WRITTEN: Final = {
    "written_domain": text("With the letters it stands for.", nullable=True),
    "registrable_domain": text("What somebody registered, by the public suffix list.", nullable=True),
}
JUDGED: Final = {
    "score": {**SCORE, "description": "The sum of the contributions of listings and signals."},
    **VERDICTS,
    "listings": {"type": "array", "items": reference("NameEvidence")},
    "signals": {
        "type": "array",
        "description": "What speaks against it though no list says so.",
        "items": members("signal contribution", signal={"enum": list(WEIGHTS)}, contribution=SCORE),
    },
    "reasons": {"type": "array", "items": {"type": "string"}, "description": "All of it in words."},
    "first_seen": {**TIME, "description": "The earliest of the listings."},
    "last_seen": {**TIME, "description": "The latest of the listings."},
    "dns": members(
        "asked domain_exists mx takes_mail hosts servers",
        asked=FLAG,
        domain_exists={**MAYBE, "description": "null: not asked, or no answer in time; so are the others."},
        mx={**MAYBE, "description": "Whether the domain names mail servers."},
        takes_mail=MAYBE,
        hosts={"type": ["array", "null"], "items": {"type": "string"}},
        servers={
            "type": ["array", "null"],
            "description": "Addresses of the servers, as the lists see them.",
            "items": members(
                "ip score feeds", ip=text(), score=SCORE, feeds={"type": "array", "items": {"type": "string"}}
            ),
        },
    ),
}

MAIL_SHAPES: Final[dict[str, Any]] = {
    "MailReport": members(
        "address valid problem local_part domain written_domain registrable_domain canonical subaddress listed score "
        "verdict profile decided_by fail would flags listings signals reasons first_seen last_seen dns snapshot",
        address=text("With its domain in ASCII; where it is none, what was asked."),
        valid=FLAG,
        problem=text("Why it is no address that mail could go to.", nullable=True),
        local_part=text(nullable=True),
        domain=text("In ASCII.", nullable=True),
        **WRITTEN,
        canonical=text("In lower case, without what its provider is known to ignore.", nullable=True),
        subaddress=text("What follows a plus in the local part.", nullable=True),
        **JUDGED,
        listed={**FLAG, "description": "Whether a list that means a risk names the address or its domain."},
        flags=members(" ".join(MAIL_FLAGS), **dict.fromkeys(MAIL_FLAGS, FLAG)),
        snapshot=SNAPSHOT,
    ),
    "NameEvidence": members(
        "feed title category provider name first_seen last_seen current contribution",
        name=text("What the list names: the address in one of its forms, the domain, or one above it."),
        **EVIDENCE,
    ),
    "BadMailItem": members(
        "address error",
        address={"description": "What was asked."},
        error=text("Why that is no question."),
    ),
    "MailQuestions": questions("emails"),
    "MailReports": {"type": "array", "items": {"oneOf": [reference("MailReport"), reference("BadMailItem")]}},
    "DomainAnswer": members(
        "domain written_domain registrable_domain listed feeds score verdict profile decided_by fail would flags "
        "listings signals reasons first_seen last_seen dns snapshot",
        domain=text("In ASCII."),
        **WRITTEN,
        **{**JUDGED, **FACTS},
        flags=members(" ".join(DOMAIN_FLAGS), **dict.fromkeys(DOMAIN_FLAGS, FLAG)),
    ),
}
