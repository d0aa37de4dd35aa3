"""URLs of lists: which are accepted, and how one is shown without the secrets it may hold. Pure and light.

A URL may hold a user and a password, and a key in its query. What is written wrong may hold them anywhere, so of such a
text even less is shown; the line and path of the mistake say where it stands.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

SCHEMES: Final = ("https", "http", "file")
_SECRET_PART = re.compile(r"[?#].*", re.DOTALL)


def check_url(url: str, schemes: tuple[str, ...] = SCHEMES) -> str:
    """The URL itself. Raises ValueError with a sentence that gives no secret away."""
    starts = " or ".join("file:///" if scheme == "file" else f"{scheme}://" for scheme in schemes)
    named = _mentioned(url)
    if not url.isprintable() or " " in url:
        raise ValueError(f"{named} is no URL: blanks and control characters are written %20 and so on")
    try:
        parts = urlsplit(url)
    except ValueError:  # its text repeats what stands before the host
        raise ValueError(f"{named} is no URL: its host cannot be read") from None
    if parts.scheme not in schemes:
        raise ValueError(f"{named} must start with {starts}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"{named} is no URL: its port must be a number up to 65535") from None
    if parts.scheme == "file":
        if not parts.path.startswith("/") or host not in {None, "", "localhost"}:
            raise ValueError(f"{named} must be file:///absolute/path")
    elif not host or port == 0:
        raise ValueError(f"{named} names no host")
    return url


def shown(url: str) -> str:
    """An accepted URL for people: without user, password, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _mentioned(text: str) -> str:
    """A text that may be no URL at all, for a message: nothing of it if a password may stand anywhere in it."""
    return "this text" if "@" in text else repr(_SECRET_PART.sub("", text))
