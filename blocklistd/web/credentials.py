"""Which key a request presents: ``Authorization: Bearer KEY`` or ``X-Api-Key: KEY``. Pure and light: no aiohttp.

The lookup protocol reads them from the bytes of a header block, the routes from aiohttp's headers; both ask here, so
that they cannot disagree. A key of other schemes (Basic) is none: a proxy may pass on what a visitor sent.
"""

from __future__ import annotations

from typing import Final

AUTHORIZATION: Final = "Authorization"
API_KEY: Final = "X-Api-Key"


def presented(authorization: str | None, api_key: str | None) -> tuple[str, ...]:
    """The keys that the values of the two headers present, none to two."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    return tuple(key for key in (bearer, (api_key or "").strip()) if key)


def presented_in(block: bytes) -> tuple[str, ...]:
    """The same for a header block that ``hot.is_harmless`` accepted: plain lines, each name once, ASCII."""
    named = {}
    for line in block.split(b"\r\n"):
        name, _, value = line.partition(b":")
        named[name.lower()] = value.decode("latin-1")
    return presented(named.get(AUTHORIZATION.lower().encode()), named.get(API_KEY.lower().encode()))
