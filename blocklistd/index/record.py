"""What a snapshot remembers of each feed, light enough for every worker."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from blocklistd.index.layout import SectionReference

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class FeedRecord:
    """One feed as it stands in a snapshot; times are unix seconds, 0 where unknown; durations are seconds."""

    id: str
    title: str
    kind: str
    category: str | None
    provider: str | None
    weight: int
    group: str | None
    includes: tuple[str, ...]
    terms: str
    homepage: str | None
    keep: int
    stale_after: int
    drop_after: int
    widen: int | None
    entries: int
    """Accepted lines or records, duplicates included."""
    unique: int
    rejected: int
    """Lines or records that gave nothing."""
    below_minimum: int
    wide: int
    masked: int
    special: int
    rejects: tuple[tuple[int, str, str], ...]
    """The first of the rejected: line number, text, reason."""
    v4: int
    """Merged IPv4 ranges after exclusions."""
    v6: int
    size: int
    """Unpacked bytes of the list."""
    fetched_at: float
    """The last time a provider confirmed these entries before the snapshot was built."""
    changed_at: float
    """When the entries arrived."""
    dated: float
    """The date the list itself bears."""
    section: SectionReference
    """Its entries as the list wrote them."""
    covers: str = ""
    """Digest of everything that what it covers was made from; empty in snapshots of older versions."""
    since: float = 0.0
    """First seen of everything that ``seen`` does not tell otherwise."""
    seen: SectionReference | None = None
    """First and last seen by stretch or name (see ``seen.Seen``); None where all of it came at ``first_seen``."""

    @property
    def first_seen(self) -> float:
        """First seen of all that the feed names, where it has no section ``seen``."""
        return self.since or self.changed_at

    def as_document(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FeedRecord:
        """From a manifest; raises KeyError or TypeError where it is not one."""
        present = [field.name for field in fields(cls) if field.default is MISSING or field.name in document]
        values = {name: document[name] for name in present}
        values["includes"] = tuple(values["includes"])
        values["rejects"] = tuple((line, text, reason) for line, text, reason in values["rejects"])
        values["section"] = SectionReference(**values["section"])
        if values.get("seen") is not None:
            values["seen"] = SectionReference(**values["seen"])
        return cls(**values)
