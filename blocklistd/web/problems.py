"""Every error as RFC 9457 problem details, mapped from our exceptions once.

Takes an exception, gives a response of type ``application/problem+json`` whose ``detail`` is a sentence for the
caller. Nothing of the inside of the program (paths, tracebacks) goes out.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from blocklistd.errors import BadAddress, BlocklistdError, NoSnapshot, NotReady, StorageFailed, UsageError
from blocklistd.web.bodies import problem_body

if TYPE_CHECKING:
    from collections.abc import Mapping

PROBLEM: Final = "application/problem+json"
RETRY_AFTER: Final[Mapping[str, str]] = {"Retry-After": "5"}
"""Goes with every 503."""

STATUS_OF: Final[tuple[tuple[type[BlocklistdError], int], ...]] = (
    *((BadAddress, 400), (UsageError, 400)),
    *((NoSnapshot, 503), (NotReady, 503), (StorageFailed, 503)),
)
"""Exceptions of the core → status; any other is our fault and a 500."""

SENTENCES: Final[Mapping[int, str]] = {
    400: "The request is not HTTP, a line of its head is longer than 8 kB, or its body is not of its declared type.",
    404: "Nothing answers at this path; GET / names the endpoints.",
    408: "The body did not arrive in time.",
    413: "The body is larger than this endpoint takes.",
    417: "Only Expect: 100-continue is understood.",
    500: "Something went wrong inside; the log says more.",
}


class RequestRefused(BlocklistdError):
    """A request that gets an error: its status, a sentence, and headers that belong to it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A response with problem details."""
    return web.Response(status=status, body=problem_body(status, detail), content_type=PROBLEM, headers=headers)


def problem_of(error: Exception) -> web.Response:
    """The response for an exception that a handler or the router raised."""
    if isinstance(error, RequestRefused):
        return problem(error.status, str(error), error.headers)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return problem(405, f"{error.method} is not answered here, only {allowed}.", {"Allow": allowed})
    if isinstance(error, web.HTTPException):
        return problem(error.status, SENTENCES.get(error.status, error.reason))
    for kind, status in STATUS_OF:
        if isinstance(error, kind):
            return problem(status, str(error), RETRY_AFTER if status == HTTPStatus.SERVICE_UNAVAILABLE else None)
    return problem(500, SENTENCES[500])
