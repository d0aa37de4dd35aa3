"""Answers as bytes: JSON (orjson) or msgpack, the same bodies in both.

Takes a snapshot and questions, gives encoded answers. ``Answers`` is the hot path: the part of an answer that follows
the address is the same for all addresses with the same listing, so it is encoded once a listing.
"""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgpack
import orjson

from blocklistd import kernel
from blocklistd.addresses import format_address, parse_address
from blocklistd.errors import BadAddress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocklistd.index import Listing, Snapshot

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
NDJSON: Final = "application/x-ndjson"
ECHOED: Final = 100
"""So many characters of a bad question are repeated in its answer."""


def encode(body: object, *, packed: bool) -> bytes:
    """A whole body."""
    return _pack(body) if packed else orjson.dumps(body)


def _pack(body: object) -> bytes:
    encoded: bytes = msgpack.packb(body)
    return encoded


def facts(listing: Listing, snapshot_id: str) -> dict[str, Any]:
    """The part of an answer about an address that follows the address."""
    return {"listed": listing.listed, "feeds": listing.feeds, "snapshot": snapshot_id}


def problem_body(status: int, detail: str) -> bytes:
    """RFC 9457 problem details; ``type`` is about:blank, so ``title`` is the phrase of the status."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return orjson.dumps(body)


def canonical(text: str) -> str:
    """The address as RFC 5952 writes it; raises BadAddress."""
    family, value = parse_address(text)
    return text if family == 4 and ":" not in text else format_address(family, value)


def tail_of(snapshot_id: str, listing: Listing) -> tuple[bytes, bool]:
    """What the kernel asks once a listing: the end of an answer, behind the address, and whether it names a list."""
    return b'",' + orjson.dumps(facts(listing, snapshot_id))[1:], listing.listed


class Answers:
    """Answers from one snapshot; ``asked`` and ``listed`` count them."""

    def __init__(self, snapshot: Snapshot, *, packed: bool = False) -> None:
        self._snapshot = snapshot
        self._packed = packed
        self._tails: dict[int, bytes] = {}
        self._kept: list[Listing] = []
        self._path: Any = None
        self.asked = 0
        self.listed = 0

    def single(self, text: str) -> bytes:
        """The answer to one question; raises BadAddress."""
        listing = self._snapshot.lookup(text)
        self.asked += 1
        self.listed += listing.listed
        ip = canonical(text)
        if self._packed:
            return _pack({"ip": ip, **facts(listing, self._snapshot.id)})
        return b'{"ip":"%b",%b' % (ip.encode(), self._tail(listing))

    def items(self, questions: Sequence[object]) -> list[bytes]:
        """The answers to many questions: what ``item`` gives for each."""
        if self._packed or kernel.active is None or not isinstance(self._snapshot.searcher, kernel.active.Lookup):
            return [self.item(question) for question in questions]
        if self._path is None:
            self._path = kernel.active.HotPath(self._snapshot.searcher, (), partial(tail_of, self._snapshot.id))
        items, asked, listed = self._path.items(questions)
        self.asked += asked
        self.listed += listed
        return [self.item(question) if item is None else item for item, question in zip(items, questions, strict=True)]

    def item(self, question: object) -> bytes:
        """The answer to one question of many: a bad one is answered with the reason."""
        if not isinstance(question, str):
            return self.refuse(question, "an address is a text such as 192.0.2.1")
        try:
            return self.single(question)
        except BadAddress as error:
            return self.refuse(question, str(error))

    def refuse(self, question: object, reason: str) -> bytes:
        """The answer to a question that is none."""
        if not isinstance(question, str | int | float | None):
            question = None  # a list or object is not repeated, however deep it is
        shown = question[:ECHOED] if isinstance(question, str) else question
        return encode({"ip": shown, "error": reason}, packed=self._packed)

    def _tail(self, listing: Listing) -> bytes:
        tail = self._tails.get(id(listing))
        if tail is None:
            tail = self._tails[id(listing)] = orjson.dumps(facts(listing, self._snapshot.id))[1:]
            self._kept.append(listing)  # keeps the id from being used again
        return tail


def join(answers: list[bytes], *, packed: bool) -> bytes:
    """Encoded answers as one encoded array."""
    if packed:
        header: bytes = msgpack.Packer().pack_array_header(len(answers))
        return header + b"".join(answers)
    return b"[%b]" % b",".join(answers)
