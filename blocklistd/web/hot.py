r"""Plain lookups answered from request bytes to response bytes. Pure: no socket, no clock, no aiohttp.

A *plain* request is ``GET /v1/ip/{ip}`` in HTTP/1.1 with one Host, nothing but the headers of ``HARMLESS``, each once
and in the plainest spelling, and no body. What answers here and what the routes answer differ in nothing.

``HotPath`` belongs to one snapshot and answers the usual: valid addresses below header blocks seen before. It has a
compiled twin's shape: bytes and numbers go in and out, nothing is kept between calls but what ``known`` holds.

    path = HotPath(snapshot, known)
    path.set_date(b"Sat, 21 Nov 2026 20:36:01 GMT")          once a second
    response, consumed, answered, listed = path.answer(data)

- ``data`` begins where a request begins. Requests are answered one after the other until one is incomplete or is not
  usual, or ``MOST`` are answered.
- ``response`` is all answers in order; ``consumed`` counts the bytes of ``data`` they answer; ``answered`` the requests
  (each has status 200), ``listed`` how many of these some list names. All are 0 or empty if the first is not usual.
- A header block is everything after ``HTTP/1.1\r\n`` up to and with the empty line. ``known`` is a set of blocks that
  ``is_harmless`` accepted; it is only read here.

``read_head`` does the careful reading of what is not usual, ``is_beginning`` tells a plain request cut off by the
network, ``refusal`` writes the answers other than 200.
"""

from __future__ import annotations

import re
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from blocklistd import kernel
from blocklistd.addresses import canonical
from blocklistd.errors import BadAddress
from blocklistd.web.bodies import encode, facts, problem_body, tail_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from blocklistd.index import Listing, Snapshot

SERVER: Final = "blocklistd"

GET: Final = b"GET /v1/ip/"
VERSION: Final = b" HTTP/1.1\r\n"
END: Final = b"\r\n\r\n"
ASKED: Final = len(GET)
"""Where the address begins."""

MOST: Final = 64
"""Requests answered in one call, so that one client's pipeline does not hold up the others."""
LONGEST_HEAD: Final = 2048
"""Bytes of a plain request. Longer ones are not refused, only not answered here."""

HARMLESS: Final = frozenset(
    {
        *(b"host", b"user-agent", b"accept", b"accept-encoding", b"accept-language", b"connection"),
        *(b"cache-control", b"pragma", b"dnt", b"x-request-id", b"traceparent", b"tracestate"),
        *(b"authorization", b"x-api-key"),
    }
)
"""Headers that change nothing about an answer, apart from what ``is_harmless`` looks at in their values.

Keys do not either: where one is needed, ``known`` holds only blocks whose key is good."""

_HEADER: Final = re.compile(rb"([A-Za-z-]{1,40}): ?([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
_HEADER_BEGINNING: Final = re.compile(rb"[A-Za-z-]{1,40}: ?(?:[\x21-\x7e][\x20-\x7e]*)?")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_QUESTION: Final = re.compile(rb"[0-9A-Za-z_:-][0-9A-Za-z._:-]{0,254}")
"""Addresses and mistakes that no step between here and a route would read as anything else."""
_ADDRESS_BEGINNING: Final = re.compile(rb"[0-9A-Fa-f:.]{0,45}")

NOTHING: Final = (b"", 0, 0, 0)


class HotPath:
    """Answers from one snapshot; see above."""

    def __init__(self, snapshot: Snapshot, known: Collection[bytes]) -> None:
        self._lookup = snapshot.lookup
        self._snapshot_id = snapshot.id
        self._known = known
        self._date = ""
        self._tails: dict[int, tuple[str, int]] = {}
        self._kept: list[Listing] = []

    def set_date(self, date: bytes) -> None:
        """The value of the header Date from now on."""
        self._date = f'\r\nDate: {date.decode()}\r\nServer: {SERVER}\r\n\r\n{{"ip":"'

    def answer(self, data: bytes) -> tuple[bytes, int, int, int]:
        """``(response, consumed, answered, listed)`` for the usual requests that ``data`` begins with."""
        line, _, block = data.partition(VERSION)
        if block in self._known and line[:ASKED] == GET:  # one request and no more: what nearly all clients send
            text = line[ASKED:].decode("latin-1")
            try:
                listing = self._lookup(text)
            except BadAddress:
                return NOTHING
            tail, length = self._tails.get(id(listing)) or self._tail(listing)
            if ":" in text:
                text = canonical(text)
            response = (
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                f"{length + len(text)}{self._date}{text}{tail}"
            )
            return response.encode(), len(data), 1, 1 if listing.feeds else 0
        return self._pipeline(data)

    def _pipeline(self, data: bytes) -> tuple[bytes, int, int, int]:
        responses: list[bytes] = []
        position = found = 0
        while len(responses) < MOST:
            end = data.find(END, position, position + LONGEST_HEAD) + len(END)
            if end < len(END) or not (position or end < len(data)):  # cut off, or alone and seen above
                break
            response, _, one, listed = self.answer(data[position:end])
            if not one:
                break
            responses.append(response)
            found += listed
            position = end
        return b"".join(responses), position, len(responses), found

    def _tail(self, listing: Listing) -> tuple[str, int]:
        body = encode(facts(listing, self._snapshot_id), packed=False)
        tail = '",' + body[1:].decode()
        self._kept.append(listing)  # keeps the id from being used again
        self._tails[id(listing)] = entry = tail, len(tail) + len('{"ip":"')
        return entry


class AnyPath(Protocol):
    """What ``HotPath`` and its compiled twin do."""

    def set_date(self, date: bytes, /) -> None:
        """The value of the header Date from now on."""

    def answer(self, data: bytes, /) -> tuple[bytes, int, int, int]:
        """``(response, consumed, answered, listed)`` for the usual requests that ``data`` begins with."""
        ...


def open_path(snapshot: Snapshot, known: Collection[bytes]) -> AnyPath:
    """The hot path of a snapshot, compiled where its lookup is."""
    if kernel.active is None or not isinstance(snapshot.searcher, kernel.active.Lookup):
        return HotPath(snapshot, known)
    path: AnyPath = kernel.active.HotPath(snapshot.searcher, known, partial(tail_of, snapshot.id))
    return path


class Head(NamedTuple):
    """A complete plain request: the text it asks about, its header block, its length in bytes."""

    text: str
    block: bytes
    length: int


def read_head(data: bytes) -> Head | None:
    """The plain request that ``data`` begins with; None if it is anything else or is not complete."""
    length = data.find(END, 0, LONGEST_HEAD) + len(END)
    line, version, block = data[:length].partition(VERSION)
    question = line[ASKED:]
    plain = version and line.startswith(GET) and _QUESTION.fullmatch(question) and is_harmless(block)
    return Head(question.decode(), block, length) if plain else None


def is_harmless(block: bytes) -> bool:
    """Whether a header block leaves a request plain."""
    if not block.endswith(END) or len(block) > LONGEST_HEAD:
        return False
    named = _plain_headers(block[: -len(END)].split(b"\r\n"))
    return (
        named is not None
        and _HOST.fullmatch(named.get(b"host", b"")) is not None
        and named.get(b"connection", b"keep-alive").lower() == b"keep-alive"
        and b"msgpack" not in named.get(b"accept", b"").lower()
    )


def _plain_headers(lines: Iterable[bytes]) -> dict[bytes, bytes] | None:
    """The values of header lines by lower-case name; None if one is not of ``HARMLESS``, not plain, or there twice."""
    named: dict[bytes, bytes] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if header is None:
            return None
        name, value = header[1].lower(), header[2]
        if name not in HARMLESS or name in named:
            return None
        named[name] = value
    return named


def is_beginning(data: bytes) -> bool:
    """Whether ``data`` is the first part of a request that may become plain: no reader can object to it yet.

    What blocks are known plays no part: they hold keys, and who could see which first part of a block is waited for
    could find out a key byte by byte.
    """
    line, version, block = data.partition(VERSION)
    if len(data) <= ASKED:
        return GET.startswith(data)
    if not line.startswith(GET) or len(data) > LONGEST_HEAD:
        return False
    if version:
        return _ADDRESS_BEGINNING.fullmatch(line, ASKED) is not None and _begins_harmless(block)
    asked, blank, ending = line[ASKED:].partition(b" ")
    return _ADDRESS_BEGINNING.fullmatch(asked) is not None and VERSION.startswith(blank + ending)


def _begins_harmless(block: bytes) -> bool:
    *lines, last = block.split(b"\r\n")
    if last == b"\r":
        return is_harmless(block + b"\n")
    if last.endswith(b"\r"):
        lines.append(last[:-1])
        last = b""
    named = _plain_headers(lines)
    if named is None:
        return False
    name, colon, _ = last.lower().partition(b":")
    if not colon:
        return any(one.startswith(name) for one in HARMLESS if one not in named)
    return name in HARMLESS and name not in named and _HEADER_BEGINNING.fullmatch(last) is not None


def refusal(status: int, detail: str, date: bytes) -> bytes:
    """A whole response with problem details, 400 or 503."""
    body = problem_body(status, detail)
    head = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        head.append("Retry-After: 5")
    head += ["Content-Type: application/problem+json", f"Content-Length: {len(body)}"]
    head += [f"Date: {date.decode()}", f"Server: {SERVER}", "", ""]
    return "\r\n".join(head).encode() + body
