"""Who may ask for what.

Takes what is known of a request's connection and headers, gives yes or a refusal.

- On a *guarded* listener, one that can be reached from beyond this host, each request needs a key, but for the two that
  say whether the process lives and is ready. On loopback and unix sockets looking up is open, and a key is not looked
  at: a proxy may pass on what a visitor sent.
- What the operator alone may do needs a key of scope ``operator``, wherever it is asked for. Asking for a refresh is
  also open to direct callers on this host: a loopback or unix peer, without any header that a browser page or a proxy
  on this host would add for somebody else.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

from blocklistd.state.audit import Actor, login_name
from blocklistd.web.credentials import API_KEY, AUTHORIZATION, presented
from blocklistd.web.handler import Connection
from blocklistd.web.keys import SERVICE
from blocklistd.web.loopback import is_loopback
from blocklistd.web.problems import RETRY_AFTER, RequestRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from blocklistd.state.keys import Key

OPEN: Final = frozenset({"healthz", "readyz"})
"""Names of the routes that need no key on any listener: load balancers ask them. To who has none where one is needed,
they tell nothing about lists and operators (``is_admitted``)."""

TELLTALE: Final = (
    *("Origin", "Referer", "Sec-Fetch-Site"),
    *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Via"),
)
"""Headers that show a request was not made by a program on this host for itself."""

CHALLENGE: Final = 'Bearer realm="blocklistd"'


def is_local(family: int, peer: object) -> bool:
    """Whether a connection comes from this very host: ``family`` of its socket, ``peer`` its address."""
    if family == socket.AF_UNIX:
        return True
    return is_loopback(str(peer[0]) if isinstance(peer, tuple) and peer else "")


def is_direct(names: Iterable[str]) -> bool:
    """Whether none of the header names is telltale."""
    lowered = {name.lower() for name in names}
    return not any(name.lower() in lowered for name in TELLTALE)


def is_guarded(request: web.Request) -> bool:
    """Whether the request came in on a listener that asks for keys."""
    return isinstance(request.protocol, Connection) and request.protocol.guarded


def is_admitted(request: web.Request) -> bool:
    """Whether who asks has a good key, or needs none on this listener."""
    if not is_guarded(request):
        return True
    keys = request.app[SERVICE].state.keys
    return keys is not None and keys.find(*_presented(request)) is not None


def admit(request: web.Request) -> None:
    """Let a request pass; raises RequestRefused (401, 503) where it needs a key and has no good one."""
    if is_guarded(request) and request.match_info.route.name not in OPEN:
        _require_key(request)


def require_operator(request: web.Request, *, or_local: bool = False) -> Actor:
    """Who the operator is that asks; raises RequestRefused (401, 403, 503) for anyone else.

    or_local: without a key, a direct caller on this host passes too.
    """
    family, peer = _connection_of(request)
    if or_local and not is_guarded(request) and not _presented(request):
        if not is_local(family, peer):
            raise RequestRefused(403, "Without a key this is answered only on a loopback or unix socket of the host.")
        if not is_direct(request.headers):
            raise RequestRefused(
                403, "Without a key this is answered only to direct calls, not through a browser or a proxy."
            )
        return Actor(_login_of(request) or "local", _origin(family, peer))
    key = _require_key(request)
    if key.scope != "operator":
        raise RequestRefused(403, f"The key {key.name} may only read; this needs one of scope operator.")
    return Actor(key.name, _origin(family, peer))


def _presented(request: web.Request) -> tuple[str, ...]:
    return presented(request.headers.get(AUTHORIZATION), request.headers.get(API_KEY))


def _require_key(request: web.Request) -> Key:
    keys = request.app[SERVICE].state.keys
    if keys is None:
        raise RequestRefused(503, "The keys cannot be read at the moment; the log says why.", RETRY_AFTER)
    found = _presented(request)
    if not found:
        detail = "A key is needed here, as Authorization: Bearer KEY or X-Api-Key: KEY; see blocklistd key add."
        raise RequestRefused(401, detail, {"WWW-Authenticate": CHALLENGE})
    key = keys.find(*found)
    if key is None:
        challenge = f'{CHALLENGE}, error="invalid_token"'
        raise RequestRefused(401, "This key is unknown or revoked.", {"WWW-Authenticate": challenge})
    return key


def _connection_of(request: web.Request) -> tuple[int, object]:
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    family = connection.family if connection is not None else socket.AF_UNSPEC
    return family, transport.get_extra_info("peername") if transport is not None else None


def _origin(family: int, peer: object) -> str:
    if family == socket.AF_UNIX:
        return "http, unix socket"
    return f"http, {peer[0]}" if isinstance(peer, tuple) and peer else "http"


def _login_of(request: web.Request) -> str | None:
    """The account at the other end of a unix socket, where the system tells."""
    connection = request.transport.get_extra_info("socket") if request.transport is not None else None
    option = getattr(socket, "SO_PEERCRED", None)
    if connection is None or connection.family != socket.AF_UNIX or option is None:
        return None
    try:
        _, account, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    except OSError:
        return None
    return login_name(account)
