"""The running policy: read when the daemon starts and on SIGHUP, and told to every worker, also to those started later.

At the start a policy with mistakes ends the daemon; later it is reported and the running one stays.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Protocol

from blocklistd.errors import ConfigurationInvalid, UsageError
from blocklistd.metrics import MOST_PROFILES, OTHER_PROFILE
from blocklistd.units import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from blocklistd.reputation.policy import Policy

logger = logging.getLogger(__name__)


class Audience(Protocol):
    """The workers, as far as they are told things."""

    def tell(self, **message: Any) -> None:
        """Send to all, also to those started later."""


class RunningPolicy:
    """What the workers judge by."""

    def __init__(self, path: Path, workers: Audience) -> None:
        self._path, self._workers = path, workers
        self._policy: Policy | None = None
        self._read_at = 0.0
        self._profiles: Sequence[str] = (OTHER_PROFILE,)

    async def start(self) -> None:
        """Read it for the first time. Raises UsageError, PolicyInvalid with every mistake."""
        self._take(await self._read())

    async def reload(self) -> None:
        """Read it again; a bad one is reported and the running one stays."""
        try:
            fresh = await self._read()
        except UsageError as error:
            logger.error("the policy was refused, the running one stays: %s", error)  # noqa: TRY400 - user's mistake
            self._tell(read_at=time.time(), problem=refusal(error))
            return
        self._take(fresh)
        logger.info("policy read again: %s", counted(len(fresh.profiles), "profile"))

    def warn_of(self, feeds: Collection[str]) -> None:
        """Say which rules name feeds that are not among these, those that are on."""
        for name, profile in self._policy.profiles.items() if self._policy else ():
            for number, rule in enumerate(profile.rules, start=1):
                for feed in sorted(rule.when.all_feeds() - set(feeds)):
                    logger.warning("policy: profile %s, rule %d names the feed %s, which is not on", name, number, feed)

    async def _read(self) -> Policy:
        from blocklistd.reputation.policy.load import load_policy

        return await asyncio.to_thread(load_policy, self._path)

    def _take(self, policy: Policy) -> None:
        self._policy, self._read_at = policy, time.time()
        self._profiles = places(self._profiles, policy.profiles)
        self._tell(read_at=self._read_at, problem="")

    def _tell(self, *, read_at: float, problem: str) -> None:
        assert self._policy is not None
        document: dict[str, Any] = {"read_at": read_at, "problem": problem, "profiles": list(self._profiles)}
        self._workers.tell(policy={**document, "policy": self._policy.as_document()})


def places(taken: Sequence[str], names: Collection[str]) -> tuple[str, ...]:
    """Whose each place of the verdict counters is: those taken stay, new names follow as long as there is room."""
    fresh = [name for name in names if name not in taken]
    return (*taken, *fresh)[: MOST_PROFILES + 1]


def refusal(refused: Exception) -> str:
    """What whoever asks may know of a refusal; the mistakes themselves stay in the log."""
    if isinstance(refused, ConfigurationInvalid):
        return f"{counted(len(refused.problems), 'mistake')}, see the log"
    return "it could not be read, see the log"
