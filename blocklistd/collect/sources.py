"""Where a feed is fetched from: its own URLs, else its fallbacks, or the mirror in place of both. Pure.

Takes a ``Feed`` and the mirror's URL, gives ``Source`` values in the order in which they are tried.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocklistd.catalogue import Feed


@dataclass(frozen=True, slots=True)
class Source:
    """One place that has the whole list: its URLs, joined in this order."""

    urls: tuple[str, ...]
    name: str
    """What a report calls it: ``""`` for the feed's own URLs, else ``fallback`` or ``mirror``."""


def sources(feed: Feed, mirror: str = "") -> tuple[Source, ...]:
    """The places of a feed's list, first choice first.

    A mirror stands for all of them, except for lists on this host: ``file:`` URLs and fail2ban databases.
    """
    local = feed.format == "fail2ban" or all(urlsplit(url).scheme == "file" for url in feed.urls)
    if mirror and not local:
        return (Source((f"{mirror}/{feed.id}",), "mirror"),)
    return (Source(feed.urls, ""), *(Source((url,), "fallback") for url in feed.fallback))


def digest_of(urls: Iterable[str]) -> str:
    """Changes when a URL does; gives none of them away."""
    return hashlib.sha256("\n".join(urls).encode()).hexdigest()[:16]


def hosts_of(urls: Iterable[str]) -> tuple[str, ...]:
    """The hosts of some URLs, sorted, each once; ``""`` is this machine."""
    return tuple(sorted({urlsplit(url).hostname or "" for url in urls}))


def proxy_for(scheme: str, host: str, environment: Mapping[str, str]) -> str | None:
    """The proxy for a URL of this scheme and host, by the usual variables in either case; None for none.

    ``http_proxy`` and ``https_proxy``, else ``all_proxy``, unless ``no_proxy`` names the host.
    """

    def value(name: str) -> str:
        return environment.get(name) or environment.get(name.upper()) or ""

    proxy = value(f"{scheme}_proxy") or value("all_proxy")
    if not proxy or _is_exempt(host, value("no_proxy")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _is_exempt(host: str, no_proxy: str) -> bool:
    names = [name.strip().lower().lstrip(".") for name in no_proxy.split(",")]
    return any(name == "*" or (name and f".{host.lower()}".endswith(f".{name}")) for name in names)
