"""The process that answers: ``python -m blocklistd.daemon.worker NUMBER ROWS CONTROL COUNTERS LISTENER…``.

Everything it needs is inherited: listening sockets, its end of the control channel and the shared counters by number,
the settings in the environment. It maps the snapshot, answers plain lookups at once and everything else when aiohttp is
imported, follows the current snapshot, and finishes what is under way when the supervisor says so or is gone.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from blocklistd.daemon.control import Channel
from blocklistd.daemon.logs import set_up_logging
from blocklistd.daemon.sockets import BACKLOG, needs_key
from blocklistd.index.current import CurrentSnapshot
from blocklistd.metrics import MAIL_DNS, Counters
from blocklistd.settings import Settings, read_settings

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiohttp import web

    from blocklistd.metrics import Row
    from blocklistd.reputation.mail_servers import MailServerLookup
    from blocklistd.web.connections import Connections
    from blocklistd.web.service import RefreshReply, Service

logger = logging.getLogger(__name__)

STATE_POLL: Final = 0.25
"""Seconds between two looks whether overrides or keys have changed."""
POLL: Final = 0.5
"""Seconds between two looks at the pointer of the current snapshot."""
VAIN_LOOKS: Final = 10
"""So many looks in a row that broke down, and the worker ends to be started afresh."""
WISH_PATIENCE: Final = 5.0
OTHER_HANDLES: Final = 128
"""Handles a worker needs beside those of its connections: files, mappings, the control channel."""
THREAD_TURN: Final = 0.0005
"""Seconds another thread may hold the interpreter while answers wait: opening a new snapshot must not be felt."""


@dataclass(frozen=True, slots=True)
class Inheritance:
    """The numbers on the command line."""

    number: int
    rows: int
    control: int
    counters: int
    listeners: tuple[int, ...]

    @classmethod
    def read(cls, arguments: list[str]) -> Inheritance:
        """From the arguments."""
        number, rows, control, counters, *listeners = map(int, arguments)
        return cls(number, rows, control, counters, tuple(listeners))


def main(arguments: list[str]) -> None:
    """Answer until told to stop."""
    for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    settings = read_settings({}, os.environ)
    set_up_logging(settings.log_level, settings.log_format)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a descriptor a connection
    cell = CurrentSnapshot(settings.data)
    mapping = threading.Thread(target=cell.poll)
    mapping.start()
    import uvloop

    import blocklistd.web.connections  # noqa: F401 - what answers plain lookups

    mapping.join()
    sys.setswitchinterval(THREAD_TURN)
    try:
        uvloop.run(Answering(settings, Inheritance.read(arguments), cell).run())
    except Exception:
        logger.exception("a worker broke down")
        sys.exit(1)


class Answering:
    """One worker's life."""

    def __init__(self, settings: Settings, inheritance: Inheritance, cell: CurrentSnapshot) -> None:
        from blocklistd.web.ready import ReadyRule
        from blocklistd.web.service import Service

        self._settings = settings
        self._inheritance = inheritance
        self._cell = cell
        counters = Counters(inheritance.counters, inheritance.rows)
        self._service: Service = Service(
            cell,
            settings.data,
            counters,
            counters.row(inheritance.number),
            ask_refresh=self._wish,
            ready=ReadyRule(settings.ready_feeds, settings.ready_share),
            mmdb=settings.mmdb,
            mail_servers=self._mail_servers(counters.row(inheritance.number)) if settings.mail_dns else None,
        )
        self._stop = asyncio.Event()
        self._numbers = count(1)
        self._wishes: dict[int, asyncio.Future[RefreshReply]] = {}
        self._channel: Channel | None = None
        self._connections: tuple[Connections, ...] = ()

    def _mail_servers(self, row: Row) -> MailServerLookup:
        from blocklistd.reputation.mail_servers import MailServerLookup

        return MailServerLookup(self._settings.mail_resolver, count=lambda result: row.add(MAIL_DNS, result))

    async def run(self) -> None:
        """Open, answer, follow, drain. Raises what ended the following: who cannot follow must not answer on."""
        from blocklistd.web.connections import Connections

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop.set)
        self._channel = await Channel.over(socket.socket(fileno=self._inheritance.control))
        most = allow_handles(self._settings.connections + OTHER_HANDLES) - OTHER_HANDLES
        self._service.state.load()  # before anybody can ask: a good key must not be refused
        self._note_state("")
        connections = Connections(self._service, most=most)
        self._connections = (connections, Connections(self._service, most=most, guarded=True, beside=connections))
        servers = [await self._listen(handle) for handle in self._inheritance.listeners]
        runner = await self._open_routes()
        self._note_generation()
        tasks = [asyncio.create_task(work) for work in self._following()]
        stop = asyncio.create_task(self._stop.wait())
        await asyncio.wait({stop, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        tasks[0].cancel()
        for server in servers:
            server.close()
        await self._drain()
        await asyncio.gather(*(one.close() for one in self._connections))
        await runner.cleanup()
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        self._service.state.close()
        self._channel.close()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    def _following(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What goes on beside answering."""
        return self._follow_snapshot(), self._follow_supervisor(), self._follow_state()

    async def _open_routes(self) -> web.AppRunner:
        """Let aiohttp answer what is no plain lookup. It is imported while those are answered."""
        await asyncio.to_thread(import_routes)
        from aiohttp import web

        from blocklistd.web.app import make_app
        from blocklistd.web.handler import handler_factory

        runner = web.AppRunner(make_app(self._service), shutdown_timeout=1.0)
        await runner.setup()
        assert runner.server is not None
        for one in self._connections:
            one.hand_over_to(handler_factory(runner.server, asyncio.get_running_loop(), guarded=one.guarded))
        return runner

    async def _listen(self, handle: int) -> asyncio.AbstractServer:
        loop, listener = asyncio.get_running_loop(), socket.socket(fileno=handle)
        accept = self._connections[needs_key(listener, allow_anonymous=self._settings.allow_anonymous)].accept
        if listener.family != socket.AF_UNIX:
            return await loop.create_server(accept, sock=listener, backlog=BACKLOG)
        # the file belongs to the supervisor: a worker that ends must not remove it
        options: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        return await loop.create_unix_server(accept, sock=listener, backlog=BACKLOG, **options)

    async def _follow_snapshot(self) -> None:
        """Switch to each new snapshot; opening one verifies it, so that happens in a thread.

        A look that breaks down, for want of a thread or of memory, is made again; raises after ``VAIN_LOOKS``.
        """
        problem = ""
        vain = 0
        while True:
            await asyncio.sleep(POLL)
            try:
                switched = await asyncio.to_thread(self._cell.poll)
            except Exception as error:
                vain += 1
                if vain == 1:
                    logger.exception("cannot look for a new snapshot: %s", error)  # noqa: TRY401 - the reason in one line
                if vain >= VAIN_LOOKS:
                    raise
                continue
            vain = 0
            snapshot = self._cell.snapshot
            if switched and snapshot is not None and self._channel is not None:
                for one in self._connections:
                    one.renew()  # lets go of the old one though nobody asks
                self._service.judging.follow(snapshot)
                self._note_generation()
                self._channel.send(snapshot=snapshot.id)
            if self._cell.problem != problem:
                problem = self._cell.problem
                if problem:
                    logger.error("the newest snapshot cannot be used: %s", problem)

    async def _follow_state(self) -> None:
        """Put in force what the operator changes; what cannot be read is looked at again for as long as it takes."""
        state = self._service.state
        loads, told, broken = state.loads, state.problem, False
        while True:
            await asyncio.sleep(STATE_POLL)
            try:
                if state.changed():
                    await asyncio.to_thread(state.load)
            except Exception as error:  # no thread, no memory: who follows the snapshot gives up if that stays so
                if not broken:
                    logger.exception("cannot look for new overrides and keys: %s", error)  # noqa: TRY401 - the reason in one line
                broken = True
                continue
            broken = False
            if state.loads != loads:
                loads = state.loads
                for one in self._connections:
                    one.renew()  # forgets what was asked with keys that may be none any more
            self._note_state(told)
            told = state.problem

    def _note_state(self, before: str) -> None:
        problem = self._service.state.problem
        if problem and problem != before:
            logger.error("overrides and keys stay as they are: %s", problem)
        elif before and not problem:
            logger.info("overrides and keys can be read again")

    def _note_generation(self) -> None:
        snapshot = self._cell.snapshot
        self._service.row.set_generation(snapshot.generation if snapshot else 0)

    async def _follow_supervisor(self) -> None:
        """Do what the supervisor says; its end is an order to stop."""
        from blocklistd.web.notices import CatalogueNotice, RefreshNotice

        assert self._channel is not None
        notices = self._service.notices
        while (message := await self._channel.receive()) is not None:
            if "ping" in message:
                self._channel.send(pong=message["ping"])
            if "report" in message:
                notices.refresh = RefreshNotice.from_document(message["report"])
            if "refreshing" in message:
                notices.refreshing = bool(message["refreshing"])
            if "catalogue" in message:
                notices.catalogue = CatalogueNotice.from_document(message["catalogue"])
            if "policy" in message:
                self._judge_by(message["policy"])
            if "reply" in message:
                self._deliver(message)
            if "stop" in message:
                self._stop.set()
        self._stop.set()

    def _judge_by(self, document: dict[str, Any]) -> None:
        """Take over a policy; with the first one all is here that answering needs."""
        from blocklistd.reputation.policy import Policy
        from blocklistd.web.notices import PolicyNotice

        notices, first = self._service.notices, self._service.notices.policy is None
        self._service.use_policy(Policy.from_document(document["policy"]), document["profiles"])
        notices.policy = PolicyNotice.from_document(document)
        if first and self._channel is not None:
            snapshot = self._cell.snapshot
            self._channel.send(ready=snapshot.id if snapshot else None)

    async def _wish(self) -> RefreshReply:
        from blocklistd.web.service import RefreshReply

        number = next(self._numbers)
        reply: asyncio.Future[RefreshReply] = asyncio.get_running_loop().create_future()
        self._wishes[number] = reply
        try:
            if self._channel is not None:
                self._channel.send(wish=number)
            async with asyncio.timeout(WISH_PATIENCE):
                return await reply
        except TimeoutError:
            return RefreshReply(503, "The supervisor did not answer; the log may say more.")
        finally:
            del self._wishes[number]

    def _deliver(self, message: dict[str, Any]) -> None:
        from blocklistd.web.service import RefreshReply

        waiting = self._wishes.get(message["reply"])
        if waiting is not None and not waiting.done():
            waiting.set_result(RefreshReply(int(message["status"]), str(message["sentence"])))

    async def _drain(self) -> None:
        """Wait for requests under way as long as the settings allow; idle connections are closed by the clean-up."""
        self._service.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain):
                await self._service.idle()
        if self._service.decisions is not None:
            await asyncio.to_thread(self._service.decisions.close)


def import_routes() -> None:
    """Import aiohttp and the routes."""
    import blocklistd.web.app
    import blocklistd.web.handler  # noqa: F401 - imported here so that it is there

    gc.collect()
    gc.freeze()  # what is here stays: a collection need not look at it, and holds nobody up


def allow_handles(wanted: int) -> int:
    """Raise this process's limit of open handles to ``wanted`` as far as it may; the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(soft, wanted)


if __name__ == "__main__":
    main(sys.argv[1:])
