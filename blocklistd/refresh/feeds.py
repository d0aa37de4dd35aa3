"""One feed through the cycle: due? → fetch → parse and vet → keep.

Takes a ``Feed``, gives a ``Brought``: what to report and the record with which the feed goes into the next snapshot.
Whatever goes wrong with one feed is told in its result, and its last good entries stay in force.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, Any, Final, Protocol

from blocklistd.collect import pace, store
from blocklistd.collect.formats import FORMATS
from blocklistd.collect.model import Counts, Fetched, FetchFailed, NotDue, NotModified
from blocklistd.collect.state import FeedState, Part, read_state, write_state
from blocklistd.errors import StorageFailed
from blocklistd.index.publish import is_whole
from blocklistd.index.record import FeedRecord
from blocklistd.refresh.lane import Parsed, ParseTask
from blocklistd.refresh.lanes import Lanes
from blocklistd.refresh.report import FeedResult, State
from blocklistd.units import counted, round_duration
from blocklistd.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocklistd.catalogue import Feed
    from blocklistd.collect.fetch import Fetcher
    from blocklistd.index.layout import SectionReference

PARSER: Final = 1
"""Changes when the same bytes are parsed differently, so that no stored entries are used again."""


class Listener(Protocol):
    """Is told what happens, for progress; every call must be quick."""

    def begin(self, feeds: Sequence[Feed], due: int, *, first: bool) -> None:
        """The pass begins: so many of these feeds will be asked. first: the folder never had a snapshot."""

    def feed_started(self, feed: str) -> None:
        """A fetch begins."""

    def feed_progress(self, feed: str, done: int, total: int | None) -> None:
        """Bytes have come in."""

    def feed_finished(self, result: FeedResult) -> None:
        """A feed is through."""

    def compiling(self, feeds: int) -> None:
        """All feeds are through, the index is being made."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What came of a feed. record: None where it has no entries to put into a snapshot."""

    result: FeedResult
    record: FeedRecord | None


@dataclass(slots=True)
class Pass:
    """What all feeds of one refresh share."""

    data: Path
    fetcher: Fetcher
    lanes: Lanes
    former: Mapping[str, FeedRecord]
    """Records of the snapshot in force."""
    secret: bytes
    mirror: str
    force: bool
    listener: Listener
    turns: asyncio.Semaphore
    """A feed is only begun when its turn comes, so that its times are its own."""
    sound: dict[str, bool] = field(default_factory=dict)
    """Sections of the snapshot in force that were looked at in this pass, by name, and whether they are whole."""

    async def bring(self, feed: Feed, *, ask: bool, limit: float) -> Brought:
        """Take one feed through.

        ask: fetch it if it is due; else only make sure that its stored body is parsed. limit: loop time at which it
        is given up for this pass; the state then says that the attempt never ended, so the next pass makes it again.
        """
        try:
            async with asyncio.timeout_at(limit):
                brought = await self._bring(feed, ask)
        except TimeoutError:
            state = read_state(self.data, feed.id)
            brought = self._brought(feed, state, "failed", "not done when the refresh ran out of time", None)
        self.listener.feed_finished(brought.result)
        return brought

    async def _bring(self, feed: Feed, ask: bool) -> Brought:
        state, now = read_state(self.data, feed.id), time.time()
        waiting = pace.due(feed, state, now, force=self.force, mirror=self.mirror) if ask else NotDue(now, "not asked")
        if waiting is not None:
            return await self._keep(feed, state, "not due", _until(waiting), state.parts)
        async with self.turns:
            return await self._fetch(feed, state)

    async def _fetch(self, feed: Feed, state: FeedState) -> Brought:
        self.listener.feed_started(feed.id)
        clock = asyncio.get_running_loop().time
        begun, now, before = clock(), time.time(), state
        state = pace.started(feed, state, now, mirror=self.mirror)
        write_state(self.data, state, durable=False)
        outcome = await self.fetcher.fetch(feed, state)
        seconds = clock() - begun
        if isinstance(outcome, FetchFailed):
            state = pace.failed(
                feed,
                state,
                now + seconds,
                outcome.reason,
                draw=random(),  # noqa: S311  spreads retries, keeps no secret
                retry_after=outcome.retry_after,
                seconds=seconds,
                unasked=None if outcome.reached else before,
            )
            write_state(self.data, state, durable=False)
            return await self._keep(feed, state, "failed", outcome.reason, state.parts)
        try:
            return await self._vet(feed, state, outcome, now + seconds, seconds)
        finally:
            store.discard(outcome.parts)

    async def _vet(
        self,
        feed: Feed,
        state: FeedState,
        outcome: Fetched | NotModified,
        now: float,
        seconds: float,
    ) -> Brought:
        """Parse and vet what came; keep it, or stay with what was."""
        changed = isinstance(outcome, Fetched)
        parsed = await self._parse(feed, outcome.parts)
        if parsed is not None and parsed.refused is not None:
            reason = ": ".join(filter(None, (parsed.refused.reason, parsed.refused.detail)))
            state = pace.failed(
                feed,
                state,
                now,
                reason,
                draw=random(),  # noqa: S311  spreads retries, keeps no secret
                outcome="refused",
                retry_after=outcome.retry_after,
                size=outcome.size,
                seconds=seconds,
            )
            write_state(self.data, state, durable=False)
            return await self._keep(feed, state, "refused", reason, state.parts if changed else ())
        state = pace.succeeded(
            state,
            now,
            changed=changed,
            size=outcome.size,
            seconds=seconds,
            note=outcome.note,
            retry_after=outcome.retry_after,
        )
        state = store.commit(self.data, state, outcome.parts)
        return self._brought(feed, state, "updated" if changed else "unchanged", outcome.note, parsed)

    async def _keep(self, feed: Feed, state: FeedState, name: State, reason: str, parts: tuple[Part, ...]) -> Brought:
        """Stay with the last good entries, parsing their body again where its section is not at hand."""
        parsed = None
        if parts and not self._at_hand(feed, parts) and all(map(store.verify, parts)):
            parsed = await self._parse(feed, parts)
            if parsed is not None and parsed.refused is not None:
                return self._brought(feed, state, "refused", f"{parsed.refused.reason} (stored body)", None)
        return self._brought(feed, state, name, reason, parsed)

    def _at_hand(self, feed: Feed, parts: tuple[Part, ...]) -> bool:
        """Whether the snapshot in force was made from the very same, so that nothing needs to be parsed."""
        record = self.former.get(feed.id)
        if record is None or record.section.inputs != inputs_of(feed, parts, self.secret):
            return False
        return self._is_whole(record.section)

    def _is_whole(self, section: SectionReference) -> bool:
        if section.name not in self.sound:
            self.sound[section.name] = is_whole(self.data, section)
        return self.sound[section.name]

    async def _parse(self, feed: Feed, parts: tuple[Part, ...]) -> Parsed | None:
        """Parse bodies in a lane; None if there is nothing to do."""
        if self._at_hand(feed, parts):
            return None
        record = self.former.get(feed.id)
        previous = None
        if record is not None:
            previous = Counts(**{count.name: getattr(record, count.name) for count in fields(Counts)})
        paths = tuple(part.path for part in parts)
        inputs = inputs_of(feed, parts, self.secret)
        parsed = await self.lanes.parse(ParseTask(feed, paths, self.data, inputs, previous, self.secret))
        if parsed.storage_error:
            raise StorageFailed(f"cannot write to {self.data}: {parsed.storage_error}")
        return parsed

    def _brought(self, feed: Feed, state: FeedState, name: State, reason: str, parsed: Parsed | None) -> Brought:
        former = self.former.get(feed.id)
        record = None
        if parsed is not None and parsed.section is not None:
            record = new_record(feed, state, parsed, parsed.section)
            reason = reason or _about_rejects(record)
        elif former is not None and former.kind == feed.kind and self._is_whole(former.section):
            record = replace(former, **_described(feed), fetched_at=state.succeeded_at or former.fetched_at)
        if record is not None and time.time() - record.fetched_at > feed.drop_after:
            reason = "; ".join(filter(None, (reason, f"dropped: no good fetch for {round_duration(feed.drop_after)}")))
            record = None
        entries = 0 if record is None else record.unique
        asked = name != "not due"
        result = FeedResult(
            feed=feed.id,
            state=name,
            entries=entries,
            change=entries - (0 if former is None else former.unique),
            bytes=state.bytes if asked else 0,
            seconds=state.seconds if asked else 0.0,
            reason=reason,
        )
        return Brought(result, record)


def _until(waiting: NotDue) -> str:
    """Why a feed was not asked, and from when it may be."""
    if waiting.until <= time.time():
        return waiting.reason
    moment = datetime.fromtimestamp(waiting.until, UTC)
    shown = moment.strftime("%H:%M UTC" if waiting.until - time.time() < 86400 else "%Y-%m-%d %H:%M UTC")
    return f"{waiting.reason}; not before {shown}"


def inputs_of(feed: Feed, parts: tuple[Part, ...], secret: bytes) -> str:
    """Digest of everything a feed's entries depend on: its bytes, how they are read, and by which parser.

    For some formats also when: bans run out although their database does not change.
    """
    keyed = hashlib.sha256(secret).hexdigest() if feed.kind == "email" else ""
    minute = str(int(time.time() // 60)) if FORMATS[feed.format].timed else ""
    text = "\n".join([str(PARSER), VERSION, feed.parse_key, keyed, minute, *(part.digest for part in parts)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _about_rejects(record: FeedRecord) -> str:
    """What a person should know of a list that came in, but not whole."""
    if not record.rejected:
        return ""
    line, text, why = record.rejects[0] if record.rejects else (0, "", "")
    example = f": line {line} {text!r} {why}" if line else ""
    return f"{counted(record.rejected, 'line')} refused{example}"


def new_record(feed: Feed, state: FeedState, parsed: Parsed, section: SectionReference) -> FeedRecord:
    """The record of freshly parsed entries; how much they cover is known after compiling."""
    return FeedRecord(
        **_described(feed),
        **asdict(parsed.counts),
        rejects=tuple((reject.line, reject.text, reject.reason) for reject in parsed.rejects),
        v4=0,
        v6=0,
        size=parsed.size,
        fetched_at=state.succeeded_at,
        changed_at=state.changed_at,
        dated=parsed.dated or 0.0,
        section=section,
    )


def _described(feed: Feed) -> dict[str, Any]:
    """What the catalogue says of a feed, as far as answers need it."""
    names = ("id", "kind", "category", "provider", "weight", "group", "includes", "terms", "homepage", "keep")
    described = {name: getattr(feed, name) for name in (*names, "stale_after", "drop_after", "widen")}
    return described | {"title": feed.title or feed.id}
