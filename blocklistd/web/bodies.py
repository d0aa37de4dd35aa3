"""Answers as bytes: JSON (orjson) or msgpack, the same bodies in both.

Takes a snapshot and questions, gives encoded answers. ``Answers`` is the hot path: the part of an answer that follows
the address is the same for all addresses with the same listing, so it is encoded once a listing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import msgpack
import orjson

from blocklistd import kernel
from blocklistd.addresses import canonical
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


def tail_of(snapshot_id: str, listing: Listing) -> tuple[bytes, bool]:
    """What the kernel asks once a listing: the end of an answer, behind the address, and whether it names a list."""
    return b'",' + orjson.dumps(facts(listing, snapshot_id))[1:], listing.listed


class Answering(ABC):
    """Encoded answers to many questions, one at a time.

    subject: the member of an answer that repeats what was asked; example: a question as it should be.
    """

    subject: ClassVar = "ip"
    example: ClassVar = "192.0.2.1"

    def __init__(self, *, packed: bool = False) -> None:
        self._packed = packed

    @abstractmethod
    def single(self, text: str) -> bytes:
        """The answer to one question; raises BadAddress."""

    def items(self, questions: Sequence[object]) -> list[bytes]:
        """The answers to many: what ``item`` gives for each."""
        return [self.item(question) for question in questions]

    def item(self, question: object) -> bytes:
        """The answer to one question of many: a bad one is answered with the reason."""
        if not isinstance(question, str):
            return self.refuse(question, f"an address is a text such as {self.example}")
        try:
            return self.single(question)
        except BadAddress as error:
            return self.refuse(question, str(error))

    def refuse(self, question: object, reason: str) -> bytes:
        """The answer to a question that is none."""
        if not isinstance(question, str | int | float | None):
            question = None  # a list or object is not repeated, however deep it is
        shown = question[:ECHOED] if isinstance(question, str) else question
        return encode({self.subject: shown, "error": reason}, packed=self._packed)


class Answers(Answering):
    """Answers from one snapshot; ``asked`` and ``listed`` count them."""

    def __init__(self, snapshot: Snapshot, *, packed: bool = False) -> None:
        super().__init__(packed=packed)
        self._snapshot = snapshot
        self._tails: dict[int, str] = {}
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
        return f'{{"ip":"{ip}{self._tail(listing)}'.encode()

    def items(self, questions: Sequence[object]) -> list[bytes]:
        """The same, quicker where all are texts and the answers JSON."""
        if self._packed or not set(map(type, questions)) <= {str}:
            return [self.item(question) for question in questions]
        if kernel.active is None or not isinstance(self._snapshot.searcher, kernel.active.Lookup):
            return self._items(cast("Sequence[str]", questions))
        if self._path is None:
            self._path = kernel.active.HotPath(self._snapshot.searcher, (), partial(tail_of, self._snapshot.id))
        items, asked, listed = self._path.items(questions)
        self.asked += asked
        self.listed += listed
        return [self.item(question) if item is None else item for item, question in zip(items, questions, strict=True)]

    def _items(self, texts: Sequence[str]) -> list[bytes]:
        """The pure twin of the kernel's ``items``: one lookup for all if all are addresses."""
        listings: Sequence[Listing | None]
        try:
            listings = self._snapshot.lookup_many(texts)
        except BadAddress:
            listings = [self._listing(text) for text in texts]
        self.asked += sum([1 for listing in listings if listing is not None])
        self.listed += sum([1 for listing in listings if listing is not None and listing.feeds])
        tails, make = self._tails, self._tail
        return [
            f'{{"ip":"{canonical(text) if ":" in text else text}{tails.get(id(listing)) or make(listing)}'.encode()
            if listing is not None
            else self.item(text)
            for text, listing in zip(texts, listings, strict=True)
        ]

    def _listing(self, text: str) -> Listing | None:
        try:
            return self._snapshot.lookup(text)
        except BadAddress:
            return None

    def _tail(self, listing: Listing) -> str:
        tail = self._tails.get(id(listing))
        if tail is None:
            tail = self._tails[id(listing)] = tail_of(self._snapshot.id, listing)[0].decode()
            self._kept.append(listing)  # keeps the id from being used again
        return tail


def array_header(count: int) -> bytes:
    """What stands before the items of an array in msgpack."""
    header: bytes = msgpack.Packer().pack_array_header(count)
    return header


def part(answers: list[bytes], *, packed: bool) -> bytes:
    """Encoded answers as a part of an encoded array."""
    return (b"" if packed else b",").join(answers)


def join(parts: list[bytes], count: int, *, packed: bool) -> bytes:
    """Parts with so many answers together as one encoded array."""
    if packed:
        return b"".join([array_header(count), *parts])
    return b"".join([b"[", part(parts, packed=False), b"]"])
