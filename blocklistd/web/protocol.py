"""The lookup protocol: plain lookups are answered on the connection itself, everything else is handed over to aiohttp.

Takes what arrives on a socket, gives answers from ``hot`` at once. The first request that is not plain hands its
connection over for good, bytes and all. Light: no aiohttp; ``connections`` knows what to hand over to.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, cast

from blocklistd.metrics import LISTED, LOOKUPS, REQUESTS, SLOT_OF

if TYPE_CHECKING:
    from blocklistd.web.connections import Connections, Mixed

LINGER: Final = 1.0
"""Seconds a client that is turned away gets to read so."""
MOST_LINGERING: Final = 64

ANSWERED: Final = SLOT_OF[REQUESTS, ("ip", "2xx")]
ASKED: Final = SLOT_OF[LOOKUPS, ("ip",)]
FOUND: Final = SLOT_OF[LISTED, ("ip",)]


class LookupProtocol(asyncio.Protocol):
    """One connection, until it is handed over.

    ``_rest`` holds bytes that are not answered yet: the beginning of a plain request, or requests whose turn comes when
    others have had theirs or when the client has read more, or a request that waits for aiohttp to be there. While it
    waits for any of these, nothing is read.
    """

    __slots__ = ("_connections", "_heard", "_idle", "_paused", "_rest", "_transport", "_turn")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._paused = False
        self._turn: asyncio.Handle | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._heard = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        connections = self._connections
        stream = cast("asyncio.Transport", transport)  # uvloop's are none by their class
        if connections.open >= connections.most:
            refusing = TurnedAway(connections)
            stream.set_protocol(refusing)
            refusing.connection_made(stream)
            return
        self._transport = stream
        self._heard = time.monotonic()
        connections.here.add(self)
        if connections.plain:
            self._idle = connections.loop.call_later(connections.idle, self._look_at_clock)
        else:
            self._hand_over(b"")

    def data_received(self, data: bytes) -> None:
        """Answer what is plain."""
        connections = self._connections
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if connections.service.draining:  # aiohttp ends the connection with its next answer
            self._hand_over(data)
            return
        now = time.monotonic()
        mixed = None
        try:
            if now >= connections.next_second or connections.cell.snapshot is not connections.snapshot:
                connections.renew()
            response, consumed, answered, listed = usual = connections.answer(data)
            if consumed != len(data):
                mixed = connections.answer_mixed(data, usual)
        except Exception:  # noqa: BLE001 - aiohttp will meet it again, answer 500 and log it
            self._hand_over(data)
            return
        if consumed == len(data):
            self._heard = now
            slots = connections.slots
            slots[ANSWERED] += answered
            slots[ASKED] += answered
            slots[FOUND] += listed
            self._transport.write(response)  # type: ignore[union-attr]  # there is one while data comes
        elif mixed is None:
            self._hand_over(data)
        else:
            self._send_mixed(mixed)

    def _send_mixed(self, mixed: Mixed) -> None:
        assert self._transport is not None
        self._rest = mixed.rest
        if not mixed.responses:
            return
        self._heard = time.monotonic()
        for slot, count in mixed.counts:
            self._connections.slots[slot] += count
        if mixed.more:
            self._wait_for_turn()
        self._transport.write(b"".join(mixed.responses))

    def _wait_for_turn(self) -> None:
        """Let the other connections be served before the rest is."""
        assert self._transport is not None
        self._transport.pause_reading()
        if self._turn is None:
            self._turn = self._connections.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        if (
            self._transport is None or self._transport.is_closing() or self._paused
        ):  # paused: the client is to read first
            return
        self._transport.resume_reading()
        if self._rest:
            self.data_received(b"")

    def _hand_over(self, data: bytes) -> None:
        """Let aiohttp read from here on, for good."""
        transport, connections = self._transport, self._connections
        assert transport is not None
        handler = connections.make_handler()
        if handler is None:
            self._rest = data
            transport.pause_reading()
            connections.wait(self)
            return
        self._forget()  # nothing is read while writing is paused, so it never is here
        transport.set_protocol(handler)  # type: ignore[arg-type]  # it is one
        handler.connection_made(transport)
        if data:
            handler.expect_head(self._heard + connections.idle - time.monotonic())
            handler.data_received(data)

    def take_up(self) -> None:
        """Hand over what waited: that can be done now."""
        if self._transport is None or self._transport.is_closing():
            return
        data, self._rest = self._rest, b""
        self._transport.resume_reading()
        self._hand_over(data)

    def pause_writing(self) -> None:
        """The client reads more slowly than it asks: read no more until it has caught up."""
        if self._transport is not None:
            self._paused = True
            self._connections.service.under_way += 1
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has caught up."""
        if self._paused:
            self._paused = False
            self._connections.service.leave()
            if self._turn is None:
                self._take_turn()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        del exc
        self._forget()

    def _forget(self) -> None:
        if self._transport is None:
            return
        self._transport = None
        self._rest = b""
        if self._idle is not None:
            self._idle.cancel()
        if self._turn is not None:
            self._turn.cancel()
        if self._paused:
            self._paused = False
            self._connections.service.leave()
        self._connections.leave(self)

    def _look_at_clock(self) -> None:
        """Close if the client has asked nothing for too long; a client that has yet to read its answers may stay."""
        if self._transport is None:
            return
        left = self._heard + self._connections.idle - time.monotonic()
        if self._paused or self._turn is not None:
            left = self._connections.idle
        if left > 0:
            self._idle = self._connections.loop.call_later(left, self._look_at_clock)
        else:
            self._transport.close()

    def close(self) -> None:
        """End when what is written has gone out."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End now."""
        if self._transport is not None:
            self._transport.abort()


class TurnedAway(asyncio.Protocol):
    """A connection above the limit: told so, and ended."""

    __slots__ = ("_connections", "_end")

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so; what the client sends is read and dropped for a moment, lest a reset destroy what it was told."""
        stream = cast("asyncio.Transport", transport)
        told = self._connections.turn_away()
        if self._connections.lingering >= MOST_LINGERING:
            stream.abort()
            return
        self._connections.lingering += 1
        self._end = self._connections.loop.call_later(LINGER, stream.abort)
        stream.write(told)
        stream.write_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client has gone, or its moment is over."""
        del exc
        if self._end is not None:
            self._end.cancel()
            self._connections.lingering -= 1
