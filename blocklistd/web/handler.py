"""aiohttp's connection handler: its limits, and answers to bytes that never become a request.

Takes aiohttp's own server, gives its connection handler with three differences: a malformed request gets problem
details like any other error, nothing about the client or the versions in use is logged or told, and a head that was
already begun when the handler got the connection has no more time than any other.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from blocklistd.web.connections import IDLE
from blocklistd.web.hot import SERVER
from blocklistd.web.problems import SENTENCES, problem

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)

LIMITS: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": IDLE,
    "lingering_time": 5.0,
    "max_line_size": 8190,
    "max_field_size": 8190,
    "max_headers": 64,
}
"""What a client may send before it asks anything, and how long it may hold a connection open without asking."""
TOO_LONG: Final = f"The request line or a header is longer than {LIMITS['max_line_size']:,} bytes."


class Connection(web.RequestHandler):
    """One connection that aiohttp reads. ``left`` is called when it is gone; guarded: each request needs a key."""

    __slots__ = ("_left", "_patience", "guarded")

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        left: Callable[[], None],
        guarded: bool = False,
        **limits: Any,
    ) -> None:
        super().__init__(server, loop=loop, **limits)
        self.guarded = guarded
        self._left = left
        self._patience: asyncio.TimerHandle | None = None

    def expect_head(self, patience: float) -> None:
        """Close in ``patience`` seconds unless the head of a request is complete by then."""
        self._patience = asyncio.get_running_loop().call_later(patience, self.force_close)

    def head_arrived(self) -> None:
        """A request has begun to be answered."""
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone."""
        self.head_arrived()
        super().connection_lost(exc)
        self._left()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - holds bytes of the request, which are not repeated
    ) -> web.StreamResponse:
        """Answer bytes that are no request, or a failure beyond the handlers; the connection ends after it."""
        if status == 500:
            logger.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        sentence = TOO_LONG if isinstance(exc, LineTooLong) else SENTENCES.get(status, SENTENCES[400])
        response = problem(status, sentence, {"Server": SERVER})
        response.force_close()
        return response


def handler_factory(
    server: web.Server, loop: asyncio.AbstractEventLoop, *, guarded: bool = False, **limits: Any
) -> Callable[[Callable[[], None]], Connection]:
    """What makes the handler that a connection is handed over to; it takes what to call when that is gone.

    guarded: whether each request needs a key; limits: instead of those in ``LIMITS``.
    """
    return lambda left: Connection(server, loop=loop, left=left, guarded=guarded, **{**LIMITS, **limits})
