"""What is known of each feed's last fetches: one small JSON file a feed, beside its bodies.

Takes and gives a frozen ``FeedState``; ``data/bodies/<feed id>.json`` is replaced atomically. Reading never
fails: a missing file is a feed that was never asked, a broken or foreign one too, with a reason that says
so. Standard library only, because workers that answer read it.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from blocklistd.collect.past import Version, decode_past, encode_past
from blocklistd.errors import StorageFailed
from blocklistd.files import TEMPORARY, read_regular, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Outcome = Literal["never", "updated", "unchanged", "failed", "refused", "quarantined"]

FOLDER: Final = "bodies"
FORMAT: Final = "blocklistd feed state 2"
OLDER_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "blocklistd feed state 1": {"confirmed_at": 0.0, "held": None, "past": [], "past_key": "", "frozen_since": 0.0},
}
"""Formats of earlier versions, each with what its states did not say: an upgrade must not cost a list its body."""
LARGEST_STATE: Final = 2**20
"""No state file of ours comes near this; a larger one is not read."""

BODY_NAME: Final = re.compile(r"([a-z0-9_]{1,64})\.(\d{1,4})\.([0-9a-f]{16})\.body", re.ASCII)
_STATE_NAME: Final = re.compile(r"([a-z0-9_]{1,64})\.json", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Part:
    """The stored body of one URL of a feed, without transfer encoding, with its validators."""

    url: str
    """For people: without user, password, query and fragment, which may hold secrets."""
    path: Path
    size: int
    """Bytes of the stored body."""
    digest: str
    """SHA-256 of the stored body in hexadecimal."""
    etag: str | None = None
    last_modified: str | None = None
    source: str = ""
    """Digest of the whole URL: validators are sent only where they came from."""


@dataclass(frozen=True, slots=True)
class Held:
    """A body in quarantine: kept aside, not in force. Times are unix seconds."""

    parts: tuple[Part, ...]
    digest: str
    """``digest_of_parts`` of its parts: what the operator decides about."""
    check: str
    """Name of the check that objected."""
    reason: str
    entries: int
    """Distinct entries it would bring."""
    since: float
    """When it came in."""
    seen_at: float
    """When the provider last gave or confirmed it."""
    rejected: bool = False
    """The operator will not have it; it only stays so that the provider need not send it again."""


@dataclass(frozen=True, slots=True)
class NotDue:
    """Nothing was asked: ``until`` is the unix time from which it may be, ``reason`` says why."""

    until: float
    reason: str


@dataclass(frozen=True, slots=True)
class FeedState:
    """The past of one feed, for its next fetch and its operator. Times are unix seconds, 0.0 is never."""

    feed_id: str
    source: str = ""
    """Digest of the URLs that were asked last."""
    hosts: tuple[str, ...] = ()
    """Hosts of those URLs: a floor is a promise to them."""
    attempted_at: float = 0.0
    """When the last attempt began, written before the first byte is asked for."""
    finished_at: float = 0.0
    """When the last attempt came to an end, good or bad; earlier than ``attempted_at`` if it was killed."""
    succeeded_at: float = 0.0
    changed_at: float = 0.0
    """When new bytes last came in."""
    confirmed_at: float = 0.0
    """The last success before that: when the version that those bytes replaced was last confirmed."""
    failures: int = 0
    """Attempts in a row that brought nothing usable."""
    not_before: float = 0.0
    """Until then the server wants to be left alone (Retry-After); nothing overrides it."""
    retry_at: float = 0.0
    """Until then we wait after a failure (backoff); a forced refresh does not."""
    outcome: Outcome = "never"
    reason: str = ""
    bytes: int = 0
    """Transferred by the last attempt."""
    seconds: float = 0.0
    """Duration of the last attempt."""
    parts: tuple[Part, ...] = ()
    """The last good body; unchanged by failures."""
    held: Held | None = None
    """A later body that was not believed."""
    past: tuple[Version, ...] = ()
    """The versions that went into force, oldest first."""
    past_key: str = ""
    """Digest of how and from where those were read: another way of reading begins another past."""
    frozen_since: float = 0.0
    """Since when the list says nothing new although it is fetched well; 0 where it lives."""

    @property
    def bodies(self) -> tuple[Part, ...]:
        """All bodies it names, in force or held."""
        return (*self.parts, *(self.held.parts if self.held else ()))


def bodies(data: Path) -> Path:
    """The folder of bodies and states."""
    return data / FOLDER


def read_state(data: Path, feed_id: str) -> FeedState:
    """The stored state of one feed; never raises.

    Of a broken file its date is kept as ``attempted_at``, so that even then the floor holds.
    """
    path = bodies(data) / f"{feed_id}.json"
    try:
        content = read_regular(path, LARGEST_STATE + 1)
    except FileNotFoundError:
        return FeedState(feed_id)
    except OSError as error:
        return FeedState(feed_id, reason=f"state file cannot be read: {error.strerror}")
    try:
        return _decode(feed_id, path.parent, content)
    except (ValueError, TypeError, KeyError, RecursionError):
        return FeedState(feed_id, attempted_at=_modified(path), reason="state file is broken and was not used")


def read_states(data: Path) -> dict[str, FeedState]:
    """The states of all feeds that have one, by feed id; never raises."""
    try:
        names = sorted(path.name for path in bodies(data).iterdir())
    except OSError:
        return {}
    found = (match[1] for name in names if (match := _STATE_NAME.fullmatch(name)))
    return {feed_id: read_state(data, feed_id) for feed_id in found}


def write_state(data: Path, state: FeedState, *, durable: bool = True) -> None:
    """Replace the stored state of a feed.

    durable: also survive a power cut. Raises StorageFailed.
    """
    path = bodies(data) / f"{state.feed_id}.json"
    content = json.dumps(_encode(state)).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content, mode=0o644, durable=durable)
    except OSError as error:
        raise StorageFailed(f"cannot write {path}: {error.strerror or error}") from error


def digest_of_parts(parts: Sequence[Part]) -> str:
    """One SHA-256 in hexadecimal for all parts of a body; of a single part its own."""
    if len(parts) == 1:
        return parts[0].digest
    return hashlib.sha256("\n".join(part.digest for part in parts).encode()).hexdigest()


def is_candidate(part: Part) -> bool:
    """Whether the body lies aside still, not yet committed."""
    return part.path.name.startswith(TEMPORARY)


def _encode(state: FeedState) -> dict[str, Any]:
    written = {"parts", "held", "past"}
    plain = {field.name: getattr(state, field.name) for field in fields(FeedState) if field.name not in written}
    held = state.held
    return {
        "format": FORMAT,
        **plain,
        "parts": [_encode_part(part) for part in state.parts],
        "held": {**asdict(held), "parts": [_encode_part(part) for part in held.parts]} if held else None,
        "past": encode_past(state.past),
    }


def _encode_part(part: Part) -> dict[str, Any]:
    return {
        "url": part.url,
        "file": part.path.name,
        "size": part.size,
        "digest": part.digest,
        "etag": part.etag,
        "last_modified": part.last_modified,
        "source": part.source,
    }


def _decode(feed_id: str, folder: Path, content: bytes) -> FeedState:
    if len(content) > LARGEST_STATE:
        raise ValueError("too large")
    document = json.loads(content)
    if not isinstance(document, dict) or document["feed_id"] != feed_id:
        raise ValueError("foreign")
    if document["format"] != FORMAT:
        document = OLDER_FORMATS[document["format"]] | document
    outcome = document["outcome"]
    if outcome not in get_args(Outcome):
        raise ValueError("unknown outcome")
    return FeedState(
        feed_id=feed_id,
        source=_text(document["source"]),
        hosts=tuple(_text(host) for host in document["hosts"]),
        attempted_at=_moment(document["attempted_at"]),
        finished_at=_moment(document["finished_at"]),
        succeeded_at=_moment(document["succeeded_at"]),
        changed_at=_moment(document["changed_at"]),
        confirmed_at=_moment(document["confirmed_at"]),
        failures=_count(document["failures"]),
        not_before=_moment(document["not_before"]),
        retry_at=_moment(document["retry_at"]),
        outcome=outcome,
        reason=_text(document["reason"]),
        bytes=_count(document["bytes"]),
        seconds=_moment(document["seconds"]),
        parts=tuple(_decode_part(feed_id, folder, part) for part in document["parts"]),
        held=_decode_held(feed_id, folder, document["held"]),
        past=decode_past(document["past"]),
        past_key=_text(document["past_key"]),
        frozen_since=_moment(document["frozen_since"]),
    )


def _decode_held(feed_id: str, folder: Path, held: dict[str, Any] | None) -> Held | None:
    if held is None:
        return None
    if _DIGEST.fullmatch(_text(held["digest"])) is None or not isinstance(held["rejected"], bool):
        raise ValueError("no held body")
    return Held(
        parts=tuple(_decode_part(feed_id, folder, part) for part in held["parts"]),
        digest=held["digest"],
        check=_text(held["check"]),
        reason=_text(held["reason"]),
        entries=_count(held["entries"]),
        since=_moment(held["since"]),
        seen_at=_moment(held["seen_at"]),
        rejected=held["rejected"],
    )


def _decode_part(feed_id: str, folder: Path, part: dict[str, Any]) -> Part:
    match = BODY_NAME.fullmatch(_text(part["file"]))  # a state never points out of its folder
    digest = _text(part["digest"])
    if match is None or match[1] != feed_id or _DIGEST.fullmatch(digest) is None:
        raise ValueError("no body of this feed")
    return Part(
        url=_text(part["url"]),
        path=folder / match[0],
        size=_count(part["size"]),
        digest=digest,
        etag=None if part["etag"] is None else _text(part["etag"]),
        last_modified=None if part["last_modified"] is None else _text(part["last_modified"]),
        source=_text(part["source"]),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("no count")
    return value


def _moment(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError("no time")
    moment = float(value)
    if not math.isfinite(moment) or not 0 <= moment < 2**40:
        raise ValueError("no time")
    return moment


def _modified(path: Path) -> float:
    try:
        return max(0.0, path.stat().st_mtime)
    except OSError:
        return 0.0
