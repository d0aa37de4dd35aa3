"""Fetching lists: the only home of the HTTP client.

Takes a ``Feed`` and its ``FeedState``, gives ``Fetched`` (candidates lie aside until ``store.commit``),
``NotModified`` or ``FetchFailed``. Trouble with a network, a server or a local list is a value; only a data
folder that refuses to be written is an exception (StorageFailed). Every limit holds while reading: time,
stalls, bytes on the wire and inflated, header sizes, redirects. Redirects are followed by hand, each one
through the guard. When a feed may be asked at all is decided in ``pace``, before.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from blocklistd.catalogue import expand_headers
from blocklistd.collect.answer import ACCEPT_ENCODING, Decoder, FetchError, retry_after, validator
from blocklistd.collect.guard import (
    GuardedResolver,
    Reach,
    literal_of,
    reach_of,
    redirect_refusal,
    refusal,
)
from blocklistd.collect.local import copy_local
from blocklistd.collect.model import Fetched, FetchFailed, NotModified
from blocklistd.collect.sources import digest_of, proxy_for, sources
from blocklistd.collect.store import BodyTooLargeError, Candidate, discard, verify
from blocklistd.collect.trouble import connection_trouble, http_trouble, reached_nobody
from blocklistd.errors import UsageError
from blocklistd.units import format_size
from blocklistd.version import VERSION

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from aiohttp.abc import AbstractResolver

    from blocklistd.catalogue import Feed
    from blocklistd.collect.sources import Source
    from blocklistd.collect.state import FeedState, Part

USER_AGENT: Final = f"blocklistd/{VERSION} (public blocklist client)"
MAX_REDIRECTS: Final = 5
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
ASKS_TO_WAIT: Final = frozenset({429, 503})


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for all feeds alike, in seconds and requests at once; a feed has its own time and size."""

    connect: float = 10.0
    stall: float = 20.0
    """So long a server may send nothing."""
    at_once: int = 8
    per_host: int = 2


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One URL to bring in: what is held of it, how large it may be, what its feed transferred before it."""

    feed: Feed
    url: str
    held: Part | None
    room: int
    transferred: int


class Fetcher:
    """Brings in feeds, politely; an async context manager, for any number of feeds at the same time.

    data: the data folder. mirror: URL to use instead of the feeds' own. environment: for ``${NAME}`` in
    headers and for the proxy variables. progress: called with feed id, bytes so far, and bytes in all where
    that is known. resolver, tls: replace the system's name lookup and certificates.
    """

    def __init__(
        self,
        data: Path,
        *,
        mirror: str = "",
        environment: Mapping[str, str] = os.environ,
        progress: Callable[[str, int, int | None], None] | None = None,
        user_agent: str = USER_AGENT,
        limits: Limits = Limits(),
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._data = data
        self._mirror = mirror
        self._environment = environment
        self._progress = progress
        self._user_agent = user_agent
        self._limits = limits
        self._given_resolver = resolver
        self._tls = tls
        self._sessions: dict[Reach, aiohttp.ClientSession] = {}
        self._resolvers: dict[Reach, GuardedResolver] = {}
        self._at_once = asyncio.Semaphore(limits.at_once)
        self._per_host = defaultdict[str, asyncio.Semaphore](lambda: asyncio.Semaphore(limits.per_host))
        self._resting: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        self._inner = self._given_resolver or aiohttp.ThreadedResolver()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for session in self._sessions.values():
            await session.close()

    async def fetch(self, feed: Feed, state: FeedState) -> Fetched | NotModified | FetchFailed:
        """Bring in a feed: conditionally where a sound body is held, from its own URLs or else a fallback.

        Parts of ``Fetched`` are held bodies or candidates, for ``store.commit`` or ``store.discard``. Raises
        StorageFailed if the data folder cannot be written, nothing else.
        """
        sound = await asyncio.to_thread(lambda: [part if verify(part) else None for part in state.parts])
        complaints: list[str] = []
        reached = False
        wait: float | None = None
        for source in sources(feed, self._mirror):
            try:
                parts, size = await self._bring(feed, source, sound)
            except FetchError as error:
                complaints.append(f"{source.name}: {error.reason}" if source.name else error.reason)
                reached = reached or error.reached
                wait = error.retry_after if wait is None else wait
                continue
            note = "; ".join([*complaints, f"{source.name} used"]) if complaints else ""
            if None not in sound and [part.path for part in parts] == [part.path for part in state.parts]:
                return NotModified(parts, size, note, wait)
            return Fetched(parts, size, note, wait)
        return FetchFailed("; ".join(complaints), wait, reached)

    async def _bring(self, feed: Feed, source: Source, sound: list[Part | None]) -> tuple[tuple[Part, ...], int]:
        """All parts of one source, or FetchError and no candidate left behind."""
        parts: list[Part] = []
        transferred = 0
        try:
            for number, url in enumerate(source.urls):
                key = digest_of([url])
                held = next((part for part in sound if part is not None and part.source == key), None)
                room = feed.max_bytes - sum(part.size for part in parts)
                try:
                    part, size = await self._bring_part(_Wanted(feed, url, held, room, transferred))
                except BodyTooLargeError:
                    raise FetchError(f"larger than {format_size(feed.max_bytes)}") from None
                except FetchError as error:
                    if len(source.urls) == 1:
                        raise
                    place = f"part {number + 1} of {len(source.urls)}"
                    reached = error.reached or number > 0
                    raise FetchError(f"{place}: {error.reason}", error.retry_after, reached=reached) from None
                twin = sound[number] if number < len(sound) else None
                parts.append(_reuse(part, held, twin))
                transferred += size
        except BaseException:
            discard(parts)
            raise
        return tuple(parts), transferred

    async def _bring_part(self, wanted: _Wanted) -> tuple[Part, int]:
        if urlsplit(wanted.url).scheme == "file":
            async with self._at_once:
                return await self._copy(wanted)
        try:
            return await self._follow(wanted)
        except (ValueError, UnicodeError):  # what yarl and the codecs say to a URL no host can be asked for
            raise FetchError("not a usable URL") from None

    async def _copy(self, wanted: _Wanted) -> tuple[Part, int]:
        loop = asyncio.get_running_loop()

        def report(size: int, total: int) -> None:
            loop.call_soon_threadsafe(self._report, wanted, size, total)

        with Candidate(self._data, wanted.feed.id, wanted.room) as candidate:
            await asyncio.to_thread(
                copy_local,
                wanted.url,
                candidate,
                database=wanted.feed.format == "fail2ban",
                limit=wanted.room,
                progress=report,
            )
            return candidate.finish(wanted.url), candidate.size

    async def _follow(self, wanted: _Wanted) -> tuple[Part, int]:
        """Ask the URL, and each place it redirects to as far as the guard allows."""
        loop = asyncio.get_running_loop()
        own = URL(wanted.url).with_user(None)
        target, limit = own, Reach.METADATA  # the operator's own URL may be anywhere
        left = float(wanted.feed.timeout)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._slot(target.raw_host or ""):
                begun = loop.time()
                try:
                    async with asyncio.timeout(left):
                        answer = await self._ask(wanted, own, target, limit)
                except TimeoutError:
                    raise FetchError(f"timed out after {wanted.feed.timeout} s") from None
                left -= loop.time() - begun
            if not isinstance(answer, URL):
                return answer
            limit = self._reach_of_own(own)
            if reason := redirect_refusal(own.scheme, limit, answer.scheme, answer.raw_host or ""):
                raise FetchError(reason)
            target = answer.with_user(None).with_fragment(None)  # a server hands out no logins of ours
        raise FetchError(f"more than {MAX_REDIRECTS} redirects")

    @asynccontextmanager
    async def _slot(self, host: str) -> AsyncIterator[None]:
        async with self._per_host[host], self._at_once:
            yield

    async def _ask(self, wanted: _Wanted, own: URL, target: URL, limit: Reach) -> tuple[Part, int] | URL:
        """One request: the part and its bytes on the wire, or where to go instead."""
        host = target.raw_host or ""
        rest = self._resting.get(host, 0.0) - time.monotonic()
        if rest > 0:
            raise FetchError("HTTP 429 to an earlier request, so this one was not made", rest)
        headers = self._headers(wanted, own, target)
        proxy, proxy_headers = self._proxy(target, headers)
        try:
            if proxy is not None:
                await self._check_proxied(host, limit)
            session = self._session(Reach.METADATA if proxy is not None else limit)
            async with session.get(
                target,
                headers=headers,
                allow_redirects=False,
                proxy=proxy,
                proxy_headers=proxy_headers,
            ) as response:
                return await self._receive(wanted, target, response)
        except aiohttp.ClientError as error:
            words = http_trouble(error, self._limits.connect, self._limits.stall)
            raise FetchError(words, reached=not reached_nobody(error)) from None
        except OSError as error:
            raise FetchError(connection_trouble(error)) from None

    async def _receive(self, wanted: _Wanted, target: URL, response: aiohttp.ClientResponse) -> tuple[Part, int] | URL:
        if response.status in REDIRECTS:
            location = response.headers.get("Location")
            if not location:
                raise FetchError(f"HTTP {response.status} without a target")
            return target.join(URL(location))
        if response.status == 304 and wanted.held is not None:
            return _confirmed(wanted.held, response), 0
        if response.status != 200:
            raise self._no_list(target, response)
        length = response.content_length
        if length is not None and length > wanted.room:
            raise BodyTooLargeError
        decoder = Decoder(", ".join(response.headers.getall("Content-Encoding", [])))
        size = 0
        with Candidate(self._data, wanted.feed.id, wanted.room) as candidate:
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > wanted.room:
                    raise BodyTooLargeError
                for piece in decoder.feed(chunk):
                    candidate.write(piece)
                self._report(wanted, size, length)
            decoder.finish()
            part = candidate.finish(wanted.url)
        return _confirmed(part, response), size

    def _no_list(self, target: URL, response: aiohttp.ClientResponse) -> FetchError:
        if response.status == 304:
            return FetchError("HTTP 304 although nothing is stored")
        if response.status not in ASKS_TO_WAIT:
            return FetchError(f"HTTP {response.status}")
        wait = retry_after(response.headers.get("Retry-After"), time.time())
        if response.status == 429 and wait:
            self._resting[target.raw_host or ""] = time.monotonic() + wait
        return FetchError(f"HTTP {response.status}", wait)

    def _report(self, wanted: _Wanted, size: int, total: int | None) -> None:
        if self._progress is not None:
            whole = total if len(wanted.feed.urls) == 1 else None
            self._progress(wanted.feed.id, wanted.transferred + size, whole)

    def _headers(self, wanted: _Wanted, own: URL, target: URL) -> CIMultiDict[str]:
        headers = CIMultiDict({"Accept": "*/*", "Accept-Encoding": ACCEPT_ENCODING, "User-Agent": self._user_agent})
        if wanted.held is not None and wanted.held.etag:
            headers["If-None-Match"] = wanted.held.etag
        if wanted.held is not None and wanted.held.last_modified:
            headers["If-Modified-Since"] = wanted.held.last_modified
        if target.origin() != own.origin():
            return headers
        if authorization := _basic(URL(wanted.url)):
            headers["Authorization"] = authorization
        if _is_own_origin(wanted.feed, own):  # a mirror or fallback elsewhere has no claim to the feed's keys
            headers.update(self._own_headers(wanted.feed))
        return headers

    def _own_headers(self, feed: Feed) -> dict[str, str]:
        try:
            return expand_headers(feed, self._environment)
        except UsageError as error:
            raise FetchError(str(error)) from None

    def _proxy(self, target: URL, headers: CIMultiDict[str]) -> tuple[URL | None, CIMultiDict[str] | None]:
        text = proxy_for(target.scheme, target.raw_host or "", self._environment)
        if text is None:
            return None, None
        proxy = URL(text)
        if proxy.scheme not in {"http", "https"} or not proxy.raw_host:
            raise FetchError(f"a proxy of kind {proxy.scheme!r} is not supported")
        authorization = _basic(proxy)
        if authorization is None:
            return proxy, None
        if target.scheme == "http":  # read by the proxy from the request itself; else from the CONNECT before it
            headers["Proxy-Authorization"] = authorization
            return proxy.with_user(None), None
        return proxy.with_user(None), CIMultiDict({"Proxy-Authorization": authorization})

    async def _check_proxied(self, host: str, limit: Reach) -> None:
        """A proxy resolves names itself: refuse those that we can see to be private."""
        if limit is Reach.METADATA or literal_of(host) is not None:
            return
        try:
            found = await self._inner.resolve(host, 0, socket.AF_UNSPEC)
        except OSError:
            return
        if reason := refusal([result["host"] for result in found], limit):
            raise FetchError(reason)

    def _reach_of_own(self, own: URL) -> Reach:
        """How far inside the feed's own URL lies; a name that only a proxy has resolved counts as public."""
        host = own.raw_host or ""
        literal = literal_of(host)
        if literal is not None:
            return reach_of(literal)
        resolver = self._resolvers.get(Reach.METADATA)
        return Reach.PUBLIC if resolver is None else resolver.nearest.get(host, Reach.PUBLIC)

    def _session(self, limit: Reach) -> aiohttp.ClientSession:
        """The session whose connections reach no farther in than ``limit``: each has its own pool."""
        if limit not in self._sessions:
            self._resolvers[limit] = GuardedResolver(self._inner, limit)
            connector = aiohttp.TCPConnector(
                limit=0,
                use_dns_cache=False,
                resolver=self._resolvers[limit],
                ssl=self._tls or True,
            )
            self._sessions[limit] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # done by Decoder, within bounds
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    connect=self._limits.connect,
                    sock_connect=self._limits.connect,
                    sock_read=self._limits.stall,
                ),
            )
        return self._sessions[limit]


def _confirmed(part: Part, response: aiohttp.ClientResponse) -> Part:
    """The part with the validators of the answer that brought or confirmed it."""
    etag = validator(response.headers.get("ETag"))
    last_modified = validator(response.headers.get("Last-Modified"))
    return replace(part, etag=etag or part.etag, last_modified=last_modified or part.last_modified)


def _reuse(part: Part, *known: Part | None) -> Part:
    """The part itself; where a sound body of the same bytes is held, that one with the new validators."""
    for held in known:
        if held is not None and (held.digest, held.size) == (part.digest, part.size) and held.path != part.path:
            discard([part])
            return replace(part, path=held.path)
    return part


def _basic(url: URL) -> str | None:
    if url.user is None:
        return None
    pair = f"{url.user}:{url.password or ''}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _is_own_origin(feed: Feed, own: URL) -> bool:
    return any(URL(url).with_user(None).origin() == own.origin() for url in feed.urls if urlsplit(url).scheme != "file")
