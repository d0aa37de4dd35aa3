"""The connection itself: its limits, and answers to bytes that never become a request.

Takes aiohttp's own server, gives its connection handler with two differences: a malformed request gets problem
details like any other error, and nothing about the client or the versions in use is logged or told.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from blocklistd.web.problems import SENTENCES, problem

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

logger = logging.getLogger(__name__)

SERVER: Final = "blocklistd"
LIMITS: Final[dict[str, Any]] = {
    "access_log": None,
    "keepalive_timeout": 75.0,
    "lingering_time": 5.0,
    "max_line_size": 8190,
    "max_field_size": 8190,
    "max_headers": 64,
}
"""What a client may send before it asks anything, and how long it may hold a connection open without asking."""


class Connection(web.RequestHandler):
    """One connection."""

    __slots__ = ()

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
        response = problem(status, SENTENCES.get(status, SENTENCES[400]), {"Server": SERVER})
        response.force_close()
        return response


def connection_factory(server: web.Server, loop: asyncio.AbstractEventLoop) -> Callable[[], Connection]:
    """What ``create_server`` calls for each connection."""
    return lambda: Connection(server, loop=loop, **LIMITS)
