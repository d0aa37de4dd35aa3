"""What shapes of bodies in the contract are put together from, in JSON Schema."""

from __future__ import annotations

from typing import Any, Final, get_args

from blocklistd.reputation.report import FailMode, Verdict
from blocklistd.web.bulk import MOST_ITEMS


def text(description: str = "", *, nullable: bool = False) -> dict[str, Any]:
    """A text; nullable: or null."""
    kind = {"type": ["string", "null"] if nullable else "string"}
    return {**kind, "description": description} if description else kind


def members(required: str, **properties: Any) -> dict[str, Any]:
    """An object; required: the names that it has in every case, between blanks."""
    return {"type": "object", "required": required.split(), "properties": properties}


def reference(name: str) -> dict[str, str]:
    """The shape of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def questions(key: str) -> dict[str, Any]:
    """An array of texts, or an object with it."""
    array = {"type": "array", "items": {"type": "string"}, "maxItems": MOST_ITEMS}
    return {"oneOf": [array, members(key, **{key: array})]}


FACTS: Final = {
    "listed": {"type": "boolean"},
    "feeds": {"type": "array", "items": {"type": "string"}, "description": "Ids in the order of the catalogue."},
    "snapshot": text("Id of the snapshot that answered."),
}
TIME: Final = {"type": ["string", "null"], "format": "date-time"}
NUMBER: Final = {"type": "integer"}
FLAG: Final = {"type": "boolean"}
PIN: Final = {
    "description": "The snapshot that an operator holds fast; while it is there refreshes publish nothing.",
    "oneOf": [
        {"type": "null"},
        members("snapshot reason author at", snapshot=text(), reason=text(), author=text(), at=TIME),
    ],
}
SCORE: Final = {"type": "integer", "minimum": 0, "maximum": 100}
EVIDENCE: Final = {
    "feed": text(),
    "title": text(),
    "category": text(),
    "provider": text(nullable=True),
    "first_seen": TIME,
    "last_seen": TIME,
    "current": {**FLAG, "description": "False where the list has dropped it and it fades."},
    "contribution": SCORE,
}
"""One feed's word, whatever it names."""
MAYBE: Final = {"type": ["boolean", "null"]}
VERDICTS: Final = {
    "verdict": {"enum": list(get_args(Verdict))},
    "profile": text("The profile that judged."),
    "decided_by": text("The band or rule that decided, for IP addresses also the override or suppression."),
    "fail": {"enum": list(get_args(FailMode)), "description": "What to do where no answer comes."},
    "would": {
        "enum": [*get_args(Verdict), None],
        "description": "The verdict without shadow mode; null outside of it.",
    },
}
SNAPSHOT: Final = members(
    "id built_at age_seconds stale_feeds",
    id=text(),
    built_at=TIME,
    age_seconds=NUMBER,
    stale_feeds={"type": "array", "items": {"type": "string"}},
)
