"""What the handlers share: the snapshot cell, the counters, the supervisor's notices, and how to ask for a refresh."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from blocklistd.collect.state import FeedState, read_states
from blocklistd.errors import NoSnapshot, NotReady
from blocklistd.metrics import DECISIONS_LOST, SHADOW_VERDICTS, SLOT_OF, VERDICT_WORDS, VERDICTS
from blocklistd.web.feeds import FeedStatus, feed_statuses
from blocklistd.web.judging import Judging
from blocklistd.web.notices import Notices
from blocklistd.web.ready import ReadyRule
from blocklistd.web.state import CurrentState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from blocklistd.index import Snapshot
    from blocklistd.index.current import CurrentSnapshot
    from blocklistd.metrics import Counters, Row
    from blocklistd.reputation.decisions import DecisionLog
    from blocklistd.reputation.mail_servers import MailServerLookup
    from blocklistd.reputation.policy import Policy
    from blocklistd.reputation.report import Decision, IpReport

FIRST_VERDICT: Final = SLOT_OF[VERDICTS, ("0", VERDICT_WORDS[0])]
FIRST_SHADOW: Final = SLOT_OF[SHADOW_VERDICTS, ("0", VERDICT_WORDS[0])]
PLACE_OF_WORD: Final = {word: place for place, word in enumerate(VERDICT_WORDS)}

FRESH: Final = 1.0
"""Fetch states read from disk are used for so many seconds."""


class RefreshReply(NamedTuple):
    """The supervisor's answer to a wish for a refresh: an HTTP status and a sentence."""

    status: int
    sentence: str


async def _nobody_to_ask() -> RefreshReply:
    return RefreshReply(503, "No supervisor is there to start a refresh.")


@dataclass(slots=True)
class Service:
    """One worker's view of the world.

    cell: follows the current snapshot; data: the data folder, whose fetch states are read; counters: all rows,
    row: our own; notices: what the supervisor said last; ask_refresh: hands a wish to it; under_way: requests being
    answered; draining: each connection ends with its next answer; decisions: the decision log, where one is kept;
    turn: held by a request for many while it makes a batch of answers and until others were served, so that several of
    them hold up the others no longer than one; ready: what must be fresh for /readyz; mmdb: the operator's own
    databases of networks and places; mail_servers: asks DNS about mail domains, where the operator wants that.
    """

    cell: CurrentSnapshot
    data: Path
    counters: Counters
    row: Row
    notices: Notices = field(default_factory=Notices)
    ask_refresh: Callable[[], Awaitable[RefreshReply]] = _nobody_to_ask
    under_way: int = 0
    draining: bool = False
    decisions: DecisionLog | None = None
    ready: ReadyRule = field(default_factory=ReadyRule)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    mmdb: Sequence[Path] = ()
    mail_servers: MailServerLookup | None = None
    state: CurrentState = field(init=False)
    judging: Judging = field(init=False)
    _policy: Policy | None = None
    _places: Mapping[str, int] = field(default_factory=dict)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _states: Mapping[str, FeedState] = field(default_factory=dict)
    _read_at: float = float("-inf")
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self.state = CurrentState(self.data)
        self.judging = Judging(self.data, self.mmdb)

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot to answer from; take it once a request. Raises NoSnapshot."""
        snapshot = self.cell.snapshot
        if snapshot is None:
            reason = f" ({self.cell.problem})" if self.cell.problem else ""
            raise NoSnapshot(f"There is no snapshot to answer from yet{reason}; GET /v1/feeds says what is missing.")
        return snapshot

    @property
    def policy(self) -> Policy:
        """The policy in force. Raises NotReady until the supervisor has sent it, a moment after the start."""
        if self._policy is None:
            raise NotReady("The policy is not here yet; ask again in a moment.")
        return self._policy

    def use_policy(self, policy: Policy, profiles: Sequence[str]) -> None:
        """Judge by this policy from now on; ``profiles`` says whose each place of the verdict counters is."""
        self._policy = policy
        self.counters.profiles = tuple(profiles)
        self._places = {name: place for place, name in enumerate(profiles)}
        if self.decisions is not None and self.decisions.settings != policy.decision_log:
            self.decisions.end()
            self.decisions = None
        if self.decisions is None and policy.decision_log.enabled:
            from blocklistd.reputation.decisions import DecisionLog

            self.decisions = DecisionLog(self.data, policy.decision_log, self._lose_decisions)

    def decided(self, report: IpReport) -> None:
        """Count the verdict of a report that is given out, and log it where decisions are logged."""
        self.count_verdict(report.decision)
        if self.decisions is not None:
            self.decisions.add(report)

    def count_verdict(self, decision: Decision) -> None:
        """Count a verdict that is given out, and what a profile in shadow mode would have said."""
        first = len(VERDICT_WORDS) * self._places.get(decision.profile, 0)
        self.row.add_at(FIRST_VERDICT + first + PLACE_OF_WORD[decision.verdict])
        if decision.would is not None:
            self.row.add_at(FIRST_SHADOW + first + PLACE_OF_WORD[decision.would])

    def _lose_decisions(self, count: int) -> None:
        self.row.add(DECISIONS_LOST, count=count)

    def leave(self) -> None:
        """A request has got its answer."""
        self.under_way -= 1
        if not self.under_way:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no request is under way."""
        while self.under_way:
            self._idle.clear()
            await self._idle.wait()

    async def states(self) -> Mapping[str, FeedState]:
        """Fetch states by feed id, at most a second old; read off the loop."""
        async with self._reading:
            if time.monotonic() - self._read_at > FRESH:
                self._states = await asyncio.to_thread(read_states, self.data)
                self._read_at = time.monotonic()
        return self._states

    async def feeds(self) -> tuple[FeedStatus, ...]:
        """What is known of each feed now."""
        states = await self.states()
        snapshot = self.cell.snapshot
        return feed_statuses(snapshot.feeds if snapshot else (), states, self.notices, time.time())
