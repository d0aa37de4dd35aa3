"""Who may ask for what.

Takes what is known of a request's connection and headers, gives yes or a refusal. Looking up is open to whoever can
reach the socket. What the operator alone may do (refresh) is open to direct callers on this host: a loopback or unix
peer, without any header that a browser page or a proxy on this host would add for somebody else.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from blocklistd.web.loopback import is_loopback
from blocklistd.web.problems import RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

TELLTALE: Final = (
    *("Origin", "Referer", "Sec-Fetch-Site"),
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"),
)
"""Headers that show a request was not made by a program on this host for itself."""


def is_local(family: int, peer: object) -> bool:
    """Whether a connection comes from this very host: ``family`` of its socket, ``peer`` its address."""
    if family == socket.AF_UNIX:
        return True
    return is_loopback(str(peer[0]) if isinstance(peer, tuple) and peer else "")


def is_direct(names: Iterable[str]) -> bool:
    """Whether none of the header names is telltale."""
    lowered = {name.lower() for name in names}
    return not any(name.lower() in lowered for name in TELLTALE)


def require_operator(request: web.Request) -> None:
    """Let the operator pass; raises RequestRefused (403) for anyone else."""
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    family = connection.family if connection is not None else socket.AF_UNSPEC
    peer = transport.get_extra_info("peername") if transport is not None else None
    if not is_local(family, peer):
        raise RequestRefused(403, "This is answered only on a loopback or unix socket of the host itself.")
    if not is_direct(request.headers):
        raise RequestRefused(403, "This is answered only to direct calls, not through a browser or a proxy.")
