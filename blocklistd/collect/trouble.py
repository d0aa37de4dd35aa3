"""What went wrong with a connection, in plain words for the operator.

Takes the exceptions of the HTTP client, gives a part of a sentence. Nothing a server sent, no URL and no header gets
into it: such text may hold secrets, or be made to mislead.
"""

from __future__ import annotations

import errno
from typing import Final

import aiohttp

from blocklistd.collect.guard import AddressRefusedError

_CONNECTION: Final = {
    errno.ECONNREFUSED: "connection refused",
    errno.EPIPE: "connection reset",
    errno.EHOSTUNREACH: "host unreachable",
    errno.ENETUNREACH: "network unreachable",
    errno.ETIMEDOUT: "no connection in time",
}

_HTTP: Final[tuple[tuple[type[aiohttp.ClientError], str], ...]] = (
    (aiohttp.ClientProxyConnectionError, "cannot reach the proxy"),
    (aiohttp.ClientConnectorDNSError, "cannot resolve host"),
    (aiohttp.ConnectionTimeoutError, "no connection within {connect:g} s"),
    (aiohttp.ServerTimeoutError, "nothing received for {stall:g} s"),
    (aiohttp.ClientPayloadError, "cut short"),
    (aiohttp.ServerDisconnectedError, "connection closed without an answer"),
    (aiohttp.InvalidURL, "not a usable URL"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ClientResponseError, "not a valid HTTP answer"),
)
"""The first type that fits, the narrower ones before the wider; those that need a closer look are in the code."""


def http_trouble(error: aiohttp.ClientError, connect: float, stall: float) -> str:
    """Why a request gave no answer; connect, stall: the time limits that held."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"TLS: {_tls_words(error.certificate_error)}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"TLS: {_tls_words(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, AddressRefusedError):
        return str(error.os_error)
    for kind, words in _HTTP:
        if isinstance(error, kind):
            return words.format(connect=connect, stall=stall)
    if isinstance(error, aiohttp.ClientConnectorError):
        return connection_trouble(error.os_error)
    if isinstance(error, OSError):
        return connection_trouble(error)
    return f"the HTTP client gave up ({type(error).__name__})"


def reached_nobody(error: aiohttp.ClientError) -> bool:
    """Whether no connection came about, so that no provider noticed the attempt."""
    if isinstance(error, aiohttp.ClientConnectorSSLError | aiohttp.ClientConnectorCertificateError):
        return False
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def connection_trouble(error: OSError) -> str:
    """Why a connection could not be made or was lost."""
    if isinstance(error, ConnectionResetError):  # asyncio raises it without a number
        return "connection reset"
    return _CONNECTION.get(error.errno or 0, "connection failed")


def _tls_words(error: BaseException) -> str:
    for attribute in ("verify_message", "reason"):
        if text := getattr(error, attribute, None):
            return str(text).replace("_", " ").lower()
    return "handshake failed"
