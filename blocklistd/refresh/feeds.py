"""One feed through the cycle: due? → fetch → parse and vet → keep, or hold in quarantine.

Takes a ``Feed``, gives a ``Brought``: what to report and the record with which the feed goes into the next snapshot.
Whatever goes wrong with one feed is told in its result, and its last good entries stay in force.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import random
from typing import TYPE_CHECKING, Literal, Protocol

from blocklistd.collect import pace, store
from blocklistd.collect.gate import frozen_since
from blocklistd.collect.model import Fetched, FetchFailed, NotDue, NotModified, Quarantined
from blocklistd.collect.past import remember
from blocklistd.collect.state import FeedState, Held, Part, digest_of_parts, read_state, write_state
from blocklistd.errors import StorageFailed
from blocklistd.index.publish import is_whole
from blocklistd.index.record import FeedRecord
from blocklistd.refresh.lane import Parsed, ParseTask, Trial
from blocklistd.refresh.lanes import Lanes
from blocklistd.refresh.records import about_rejects, counts_of, described, inputs_of, new_record, past_key_of
from blocklistd.refresh.report import FeedResult, State
from blocklistd.units import round_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from blocklistd.catalogue import Feed
    from blocklistd.collect.fetch import Fetcher
    from blocklistd.index.layout import SectionReference
    from blocklistd.refresh.decisions import Decisions
    from blocklistd.refresh.measure import Canary
    from blocklistd.state.quarantine import Quarantined as Decision


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
    decisions: Decisions
    canaries: tuple[Canary, ...]
    turns: asyncio.Semaphore
    """A feed is only begun when its turn comes, so that its times are its own."""
    clock: Callable[[], float] = time.time
    """The time of day; a replay of the past brings its own."""
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
        state, now = read_state(self.data, feed.id), self.clock()
        if state.held is not None and (taken := await self._settle(feed, state, state.held, now)) is not None:
            return taken
        state = read_state(self.data, feed.id) if state.held is not None else state
        waiting = pace.due(feed, state, now, force=self.force, mirror=self.mirror) if ask else NotDue(now, "not asked")
        if waiting is not None:
            return await self._keep(feed, state, "not due", _until(waiting, now), state.parts)
        async with self.turns:
            return await self._fetch(feed, state)

    async def _settle(self, feed: Feed, state: FeedState, held: Held, now: float) -> Brought | None:
        """Do what the operator decided about the body in quarantine: an accepted one is used, without asking anybody.

        None where the feed takes its usual way: nothing was decided, or the body was rejected.
        """
        decision = self.decisions.on(feed.id, held.digest)
        if decision is None:
            return None
        if decision.decision == "reject":
            if not held.rejected:
                marked = replace(held, rejected=True)
                write_state(self.data, replace(state, held=marked, outcome="refused", reason=_in_words(decision)))
            return None
        if not all(map(store.verify, held.parts)):
            store.release(self.data, state)  # damaged since; when it comes in again the decision still holds
            return None
        parsed = await self._parse(feed, held.parts, None)
        if parsed is not None and parsed.refused is not None:  # the feed is read in another way by now
            reason = f"{parsed.refused.reason} (accepted body)"
            store.release(self.data, replace(state, outcome="refused", reason=reason))
            return None
        state = replace(state, confirmed_at=state.succeeded_at, succeeded_at=held.seen_at, changed_at=now)
        state = replace(state, failures=0, retry_at=0.0, outcome="updated")
        state = self._renewed(feed, replace(state, reason=_in_words(decision), past=()), parsed, now)
        state = store.commit(self.data, state, held.parts)
        return self._brought(feed, state, "updated", state.reason, parsed)

    async def _fetch(self, feed: Feed, state: FeedState) -> Brought:
        self.listener.feed_started(feed.id)
        clock = asyncio.get_running_loop().time
        begun, now, before = clock(), self.clock(), state
        state = pace.started(feed, state, now, mirror=self.mirror)
        write_state(self.data, state, durable=False)
        newest = state.held.parts if state.held else state.parts  # what was sent last need not be sent again
        outcome = await self.fetcher.fetch(feed, replace(state, parts=newest))
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
        """Parse and vet what came; keep it, hold it in quarantine, or stay with what was."""
        digest = digest_of_parts(outcome.parts)
        in_force = digest == digest_of_parts(state.parts)
        changed = isinstance(outcome, Fetched) if state.held is None else not in_force
        decision = None if in_force else self.decisions.on(feed.id, digest)
        if decision is not None and decision.decision == "reject":
            doubt = Quarantined("rejected", _in_words(decision))
            known = state.held.entries if state.held is not None and state.held.digest == digest else 0
            return await self._hold(feed, state, outcome, doubt, now, seconds, entries=known)
        trial = None if in_force or decision is not None else self._trial(feed, state, now)
        parsed = await self._parse(feed, outcome.parts, trial)
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
            return await self._keep(feed, state, "refused", reason, () if in_force else state.parts)
        if parsed is not None and parsed.quarantined is not None:
            doubt, entries = parsed.quarantined, parsed.counts.unique
            return await self._hold(feed, state, outcome, doubt, now, seconds, entries=entries)
        note = outcome.note if decision is None else "; ".join(filter(None, (outcome.note, _in_words(decision))))
        state = pace.succeeded(
            state,
            now,
            changed=changed,
            size=outcome.size,
            seconds=seconds,
            note=note,
            retry_after=outcome.retry_after,
        )
        before = state if decision is None else replace(state, past=())
        state = self._renewed(feed, before, parsed, now, changed=changed)
        state = store.commit(self.data, state, outcome.parts)
        return self._brought(feed, state, "updated" if changed else "unchanged", note, parsed)

    async def _hold(
        self,
        feed: Feed,
        state: FeedState,
        outcome: Fetched | NotModified,
        doubt: Quarantined,
        now: float,
        seconds: float,
        *,
        entries: int,
    ) -> Brought:
        """Put a body into quarantine, or keep it there; what is in force stays."""
        digest, before = digest_of_parts(outcome.parts), state.held
        rejected = doubt.check == "rejected"
        known = before is not None and before.digest == digest
        held = Held(
            parts=outcome.parts,
            digest=digest,
            check=doubt.check,
            reason=doubt.reason,
            entries=entries,
            since=before.since if before is not None and known else now,
            seen_at=now,
            rejected=rejected,
        )
        name: Literal["refused", "quarantined"] = "refused" if rejected else "quarantined"
        reason = "; ".join(filter(None, (doubt.reason, self.decisions.problem)))
        state = pace.doubted(
            state,
            now,
            reason,
            outcome=name,
            size=outcome.size,
            seconds=seconds,
            retry_after=outcome.retry_after,
        )
        state = store.hold(self.data, state, held)
        return await self._keep(feed, state, name, reason, state.parts)

    def _trial(self, feed: Feed, state: FeedState, now: float) -> Trial:
        """What a new version is judged by. Versions that were read in another way are no past of it."""
        record = self.former.get(feed.id)
        if record is not None and record.kind != feed.kind:
            record = None
        versions = state.past if state.past_key == past_key_of(feed) else ()
        came = [version.at for version in versions[-1:]] + ([] if record is None else [record.changed_at])
        return Trial(
            versions=versions,
            elapsed=now - min(came, default=now),
            section=None if record is None else record.section,
            canaries=self.canaries,
            counts=None if record is None or state.past_key else counts_of(record),
        )

    def _renewed(
        self, feed: Feed, state: FeedState, parsed: Parsed | None, now: float, *, changed: bool = True
    ) -> FeedState:
        """The state with the version that goes into force in its past, and nothing in quarantine."""
        key = past_key_of(feed)
        past = state.past if state.past_key == key else ()
        if parsed is not None and parsed.version is not None:
            if changed:
                past = remember(past, parsed.version._replace(at=now))
            else:  # the version in force, read once more
                past = (*past[:-1], parsed.version._replace(at=past[-1].at if past else state.changed_at or now))
        return replace(state, held=None, past=past, past_key=key, frozen_since=frozen_since(feed, past, now))

    async def _keep(self, feed: Feed, state: FeedState, name: State, reason: str, parts: tuple[Part, ...]) -> Brought:
        """Stay with the last good entries, parsing their body again where its section is not at hand."""
        parsed = None
        if parts and not self._at_hand(feed, parts) and all(map(store.verify, parts)):
            parsed = await self._parse(feed, parts, None)
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

    async def _parse(self, feed: Feed, parts: tuple[Part, ...], trial: Trial | None) -> Parsed | None:
        """Parse bodies in a lane, judged by ``trial`` where there is one; None if there is nothing to do."""
        if self._at_hand(feed, parts):
            return None
        paths = tuple(part.path for part in parts)
        inputs = inputs_of(feed, parts, self.secret)
        parsed = await self.lanes.parse(ParseTask(feed, paths, self.data, inputs, trial, self.secret))
        if parsed.storage_error:
            raise StorageFailed(f"cannot write to {self.data}: {parsed.storage_error}")
        return parsed

    def _brought(self, feed: Feed, state: FeedState, name: State, reason: str, parsed: Parsed | None) -> Brought:
        former = self.former.get(feed.id)
        record = None
        if parsed is not None and parsed.section is not None:
            record = new_record(feed, state, parsed, parsed.section)
            reason = reason or about_rejects(record)
        elif former is not None and former.kind == feed.kind and self._is_whole(former.section):
            record = replace(former, **described(feed), fetched_at=state.succeeded_at or former.fetched_at)
        if record is not None and self.clock() - record.fetched_at > feed.drop_after:
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


def _until(waiting: NotDue, now: float) -> str:
    """Why a feed was not asked, and from when it may be."""
    if waiting.until <= now:
        return waiting.reason
    moment = datetime.fromtimestamp(waiting.until, UTC)
    shown = moment.strftime("%H:%M UTC" if waiting.until - now < 86400 else "%Y-%m-%d %H:%M UTC")
    return f"{waiting.reason}; not before {shown}"


def _in_words(decision: Decision) -> str:
    """``accepted by ana: a rebuilt list``."""
    verb = "accepted" if decision.decision == "accept" else "rejected"
    return f"{verb} by {decision.author}" + (f": {decision.note}" if decision.note else "")
