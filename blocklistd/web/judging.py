"""One worker's assessor: made when a report is first asked for, and anew when what it is made of changes.

It is made of the current snapshot, the policy, the overrides, and what is around the worker: this host's own addresses,
the operator's databases, and when feeds were last fetched well. The latter are looked at once a minute, in a thread,
while reports go on; a worker that has not been asked for long looks before it answers. The lists of a new snapshot are
opened and verified in a thread, too: until that is done, reports come from the one before. Light until first asked.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from blocklistd.errors import SnapshotCorrupt, StorageFailed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocklistd.collect.state import FeedState
    from blocklistd.index import Snapshot
    from blocklistd.reputation.assess import Assessor
    from blocklistd.reputation.databases import Database
    from blocklistd.reputation.host import Host
    from blocklistd.reputation.mail import MailAssessor
    from blocklistd.reputation.origin import Origins
    from blocklistd.reputation.overrides import Overrides
    from blocklistd.reputation.policy import Policy
    from blocklistd.web.service import Service

logger = logging.getLogger(__name__)

EVERY: Final = 60.0
"""Seconds between two looks around while reports are asked for."""
OLDEST: Final = 300.0
"""What was seen longer ago is not used before another look."""


class Around(NamedTuple):
    """What was seen: this host, and how fetching each feed went."""

    host: Host
    states: Mapping[str, FeedState]


class Parts(NamedTuple):
    """What an assessor is made of."""

    snapshot: Snapshot
    policy: Policy
    overrides: Overrides
    host: Host


class Judging:
    """Gives the assessor in force."""

    def __init__(self, data: Path, mmdb: Sequence[Path] = ()) -> None:
        """mmdb: the operator's own databases of networks and places."""
        self._data, self._paths = data, tuple(mmdb)
        self._databases: tuple[Database, ...] | None = None
        self._told: dict[Path, str] = {}
        self._around: Around | None = None
        self._looked = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._opened: Snapshot | None = None
        self._opening: asyncio.Task[None] | None = None
        self._parts: Parts | None = None
        self._origins: Origins | None = None
        self._assessor: Assessor | None = None
        self._mail: MailAssessor | None = None

    async def assessor(self, service: Service) -> Assessor:
        """The assessor to use for one request. Raises NoSnapshot, NotReady (no policy yet)."""
        if (age := time.monotonic() - self._looked) > EVERY:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(service))
            if age > OLDEST:
                await asyncio.shield(self._looking)
        assert self._around is not None
        parts, snapshot = self._parts, service.snapshot
        if self._opened is not snapshot:
            opening = self._open(snapshot)
            if parts is None:
                await asyncio.shield(opening)
                parts = self._parts
            snapshot = parts.snapshot if parts is not None else snapshot
        policy, overrides, host = service.policy, service.state.overrides, self._around.host
        if (
            self._assessor is None
            or parts is None
            or parts.snapshot is not snapshot
            or parts.policy is not policy
            or parts.overrides is not overrides
            or parts.host is not host
        ):
            made = self._make(Parts(snapshot, policy, overrides, host))
            made.confirm(self._around.states, pinned=service.state.pin is not None)
            return made
        return self._assessor

    async def mail(self, service: Service) -> MailAssessor:
        """The same for e-mail addresses and domains. Raises what ``assessor`` does, and StorageFailed."""
        assessor = await self.assessor(service)
        if self._mail is None or self._mail.assessor is not assessor:
            made = await asyncio.to_thread(_make_mail, assessor)
            if assessor is not self._assessor:  # another one is in force by now: this is for one request
                return made
            self._mail = made
        return self._mail

    def follow(self, snapshot: Snapshot) -> None:
        """Go over to a new snapshot, so that the old one can go though nobody asks for a report."""
        if self._parts is not None and self._opened is not snapshot:
            self._open(snapshot)

    async def close(self) -> None:
        """End what goes on beside the requests, and let go of the snapshot."""
        beside = [task for task in (self._looking, self._opening) if task is not None]
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self._let_go()
        self._opened = None

    def _let_go(self) -> None:
        self._assessor = self._mail = self._origins = self._parts = None

    def _open(self, snapshot: Snapshot) -> asyncio.Task[None]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.create_task(self._open_lists(snapshot))
        return self._opening

    async def _open_lists(self, snapshot: Snapshot) -> None:
        try:
            await asyncio.to_thread(snapshot.witnesses.open_all)
        except (SnapshotCorrupt, StorageFailed, RuntimeError) as error:  # the last: no thread is to be had
            logger.error("reports on some addresses will fail: %s", error)  # noqa: TRY400 - the reason in one line
        self._opened = snapshot
        if self._parts is not None and self._parts.snapshot is not snapshot:
            self._let_go()

    async def _look(self, service: Service) -> None:
        states = await service.states()
        host = await asyncio.to_thread(self._look_around)
        if self._around is not None and self._around.host == host:
            host = self._around.host
        else:
            for problem in host.problems:
                logger.warning("not all addresses of this host are known, so a list could block it: %s", problem)
        self._around, self._looked = Around(host, states), time.monotonic()
        if self._assessor is not None:
            self._assessor.confirm(states, pinned=service.state.pin is not None)

    def _look_around(self) -> Host:
        import blocklistd.reputation.assess  # noqa: F401 - imported here, off the loop, so that it is there
        from blocklistd.reputation.databases import Database
        from blocklistd.reputation.host import read_host

        if self._databases is None:
            self._databases = tuple(map(Database, self._paths))
        for database in self._databases:
            found = database.problem  # by opening it the last time, or by a question since
            database.poll()
            for problem in (found, database.problem):
                if problem and problem != self._told.get(database.path):
                    logger.error("a database cannot be used: %s", problem)
                    self._told[database.path] = problem
            if not found and not database.problem:
                self._told.pop(database.path, None)
        return read_host(self._data)

    def _make(self, parts: Parts) -> Assessor:
        from blocklistd.reputation.assess import Assessor
        from blocklistd.reputation.origin import Origins
        from blocklistd.reputation.suppression import Suppression

        if self._origins is None or self._parts is None or self._parts.snapshot is not parts.snapshot:
            self._origins = Origins(parts.snapshot, self._databases or ())
        assessor = self._assessor = Assessor(
            parts.snapshot,
            origins=self._origins,
            overrides=parts.overrides,
            suppression=Suppression(parts.policy.suppress, parts.host),
            policy=parts.policy,
        )
        self._parts = parts
        return assessor


def _make_mail(assessor: Assessor) -> MailAssessor:
    """The one for mail: imports, reads the public suffixes and opens sections, so call it off the loop."""
    from blocklistd.reputation.mail import MailAssessor
    from blocklistd.reputation.mail_address import suffixes, words

    suffixes()
    words()
    return MailAssessor(assessor)
