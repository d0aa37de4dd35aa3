"""What the connections of a worker share: the hot path, the clock, how many there may be, and their end.

Takes the worker's service and what connections are handed over to; gives ``create_server`` a protocol for each
connection (``protocol``). Light: no aiohttp. Plain lookups are answered before aiohttp is there; what is to be handed
over waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from blocklistd.errors import BadAddress, NoSnapshot
from blocklistd.metrics import REFUSED, REQUESTS, SLOT_OF
from blocklistd.web.credentials import presented_in
from blocklistd.web.hot import MOST, NOTHING, is_beginning, open_path, read_head, refusal
from blocklistd.web.protocol import ANSWERED, ASKED, FOUND, LookupProtocol

if TYPE_CHECKING:
    from blocklistd.index import Snapshot
    from blocklistd.web.hot import AnyPath, Head
    from blocklistd.web.service import Service

logger = logging.getLogger(__name__)

IDLE: Final = 75.0
"""Seconds a connection may be open without asking anything, and a request may take to arrive."""
MOST_BLOCKS: Final = 1024
"""Header blocks remembered as harmless; when there are more, all are forgotten."""
REPEAT: Final = 60.0
"""Seconds between two log lines that say connections are turned away."""

Answered = tuple[bytes, int, int, int]
"""Response, bytes consumed, requests answered, addresses listed: see ``hot``."""


class Handler(Protocol):
    """What a connection is handed over to: an asyncio.Protocol that may be told when its first head is due."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As in asyncio.Protocol."""

    def data_received(self, data: bytes) -> None:
        """As in asyncio.Protocol."""

    def expect_head(self, patience: float) -> None:
        """A request has begun whose head must be complete in ``patience`` seconds."""


MakeHandler = Callable[[Callable[[], None]], Handler]


class Mixed(NamedTuple):
    """The answers of a turn in which not every request was usual.

    counts: slots of the metrics and what to add; rest: the bytes after them; more: whether the rest has its turn at
    once or waits for the network.
    """

    responses: list[bytes]
    counts: list[tuple[int, int]]
    rest: bytes
    more: bool


class Connections:
    """All connections of a worker. ``accept`` is what ``create_server`` calls for each.

    make_handler: makes what a connection is handed over to, and takes what that calls when it is gone; None until
    ``hand_over_to`` says so. most: so many are open at a time. plain: whether plain lookups are answered here; without,
    every connection is handed over. guarded: each request needs a key, so only header blocks with a good one are
    remembered as harmless, and all are forgotten when keys change. beside: others of the same worker, which count
    towards the same limit.
    """

    def __init__(
        self,
        service: Service,
        make_handler: MakeHandler | None = None,
        *,
        most: int = 8192,
        idle: float = IDLE,
        plain: bool = True,
        guarded: bool = False,
        beside: Connections | None = None,
    ) -> None:
        self.service = service
        self.loop = asyncio.get_running_loop()
        self.most = most
        self.idle = idle
        self.plain = plain
        self.slots = service.row.slots
        self.cell = service.cell
        self.answer: Callable[[bytes], Answered] = nothing
        self.snapshot: Snapshot | None = None
        self.next_second = float("-inf")
        self.here: set[LookupProtocol] = set()
        self.lingering = 0
        self.guarded = guarded
        self._keys = service.state.keys
        self.together: list[Connections] = [] if beside is None else beside.together
        self.together.append(self)
        self._make_handler = make_handler
        self._waiting: list[LookupProtocol] = []
        self._handed_over = 0
        self._known: set[bytes] = set()
        self._path: AnyPath | None = None
        self._date = b""
        self._complained = float("-inf")
        self._empty = asyncio.Event()

    @property
    def open(self) -> int:
        """How many the worker has, here and handed over."""
        return sum(one.own for one in self.together)

    @property
    def own(self) -> int:
        """How many of them are these."""
        return len(self.here) + self._handed_over

    def accept(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return LookupProtocol(self)

    def renew(self) -> None:
        """Follow the clock, the snapshot and the keys; done when a second has begun or one of them has changed."""
        if self._keys is not self.service.state.keys:
            self._keys = self.service.state.keys
            self._known.clear()
        now = time.time()
        self.next_second = time.monotonic() + 1 - now % 1
        self._date = formatdate(int(now), usegmt=True).encode()
        if self.snapshot is not self.cell.snapshot:
            snapshot = self.cell.snapshot
            self._path = open_path(snapshot, self._known) if snapshot is not None else None
            self.answer = self._path.answer if self._path is not None else nothing
            self.snapshot = snapshot  # last: where this fails it is tried again
        if self._path is not None:
            self._path.set_date(self._date)

    def read(self, data: bytes) -> tuple[Head | None, bool]:
        """The plain request that ``data`` begins with, and whether its header block is seen for the first time."""
        head = read_head(data)
        if self.guarded and head is not None and head.block not in self._known and not self._has_key(head.block):
            return None, False  # the routes refuse it
        fresh = head is not None and head.block not in self._known
        if head is not None and fresh:
            if len(self._known) >= MOST_BLOCKS:
                self._known.clear()
            self._known.add(head.block)
        return head, fresh

    def _has_key(self, block: bytes) -> bool:
        keys = self.service.state.keys
        return keys is not None and keys.find(*presented_in(block)) is not None

    def answer_mixed(self, data: bytes, usual: Answered) -> Mixed | None:
        """Answer what is plain but not usual, or not complete, or too much for one turn.

        usual: what ``answer`` made of the usual requests that ``data`` begins with. None if one request of the turn is
        not plain: aiohttp gets all of them then, since it does not answer those that come in one piece with bytes that
        are no request, and that must not depend on who reads them.
        """
        responses: list[bytes] = []
        counts: list[tuple[int, int]] = []
        position = requests = 0
        while True:
            response, consumed, answered, listed = usual
            if consumed:
                counts += [(ANSWERED, answered), (ASKED, answered), (FOUND, listed)]
                responses.append(response)
            else:
                rest = data[position:]
                head, fresh = self.read(rest)
                if head is None:
                    return Mixed(responses, counts, rest, more=False) if is_beginning(rest) else None
                if not fresh or self.snapshot is None:  # else its header block is usual from now on
                    refused = self.refuse(head.text)
                    if refused is None:
                        return None
                    responses.append(refused[0])
                    counts.append((refused[1], 1))
                    consumed, answered = head.length, 1
            position += consumed
            requests += answered
            if position == len(data) or requests >= MOST:
                return Mixed(responses, counts, data[position:], more=position < len(data))
            usual = self.answer(data[position:])

    def refuse(self, text: str) -> tuple[bytes, int] | None:
        """The answer to a plain request that gets 400 or 503, and the slot that counts it; None if it gets neither."""
        try:
            self.service.snapshot.lookup(text)
        except BadAddress as error:
            return refusal(400, str(error), self._date), SLOT_OF[REQUESTS, ("ip", "4xx")]
        except NoSnapshot as error:
            return refusal(503, str(error), self._date), SLOT_OF[REQUESTS, ("ip", "5xx")]
        return None

    def hand_over_to(self, make_handler: MakeHandler) -> None:
        """From now on connections can be handed over; those that wait for it are."""
        self._make_handler = make_handler
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.take_up()

    def wait(self, one: LookupProtocol) -> None:
        """Remember a connection that is to be handed over as soon as that can be."""
        self._waiting.append(one)

    def make_handler(self) -> Handler | None:
        """What a connection is handed over to, counted until it is gone; None if it must wait."""
        if self._make_handler is None:
            return None
        self._handed_over += 1
        return self._make_handler(self._handler_left)

    def _handler_left(self) -> None:
        self._handed_over -= 1

    def leave(self, one: LookupProtocol) -> None:
        """A connection is no longer here."""
        self.here.discard(one)
        if not self.here:
            self._empty.set()

    async def close(self, patience: float = 1.0) -> None:
        """End the connections that ask nothing; what is still being written may take ``patience`` seconds."""
        for one in list(self.here):
            one.close()
        try:
            async with asyncio.timeout(patience):
                while self.here:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for one in list(self.here):
                one.abort()

    def turn_away(self) -> bytes:
        """What a connection above the limit is told; counted, and logged now and then."""
        self.service.row.add(REFUSED)
        if self.loop.time() - self._complained > REPEAT:
            self._complained = self.loop.time()
            logger.warning("%d connections are open, which is the limit: more are turned away with 503", self.open)
        self.renew()
        detail = "This server holds as many connections as it may; try again in a moment."
        return refusal(503, detail, self._date).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1)


def nothing(data: bytes) -> Answered:  # noqa: ARG001 - takes what a hot path takes
    """Without a snapshot no request is usual."""
    return NOTHING
