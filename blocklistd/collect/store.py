"""The bodies of each feed on disk: ``data/bodies/<feed id>.<part>.<digest>.body``.

There is the last good body, and perhaps a later one in quarantine. A fetch writes each new body aside as a
``Candidate``. ``commit`` makes candidates the last good version, ``hold`` puts them into quarantine: bodies get their
names first, then the state that names them is replaced, then old bodies go. Killed anywhere between, the state still
names whole versions; ``sweep`` removes what nobody names. Bodies have mode 0600, because lists may hold personal
data. A body is trusted only as long as its size and digest match (``verify``).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from blocklistd.collect.sources import digest_of
from blocklistd.collect.state import (
    BODY_NAME,
    FeedState,
    Held,
    Part,
    bodies,
    is_candidate,
    read_state,
    read_states,
    write_state,
)
from blocklistd.errors import StorageFailed
from blocklistd.files import TEMPORARY, remove_temporaries, sync_file
from blocklistd.urls import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from types import TracebackType
    from typing import Self


class BodyTooLargeError(Exception):
    """More bytes than the feed may have."""


class Candidate:
    """One body being written aside, at most ``limit`` bytes of it.

    As a context manager it removes its file again unless ``finish`` was called.
    """

    def __init__(self, data: Path, feed_id: str, limit: int) -> None:
        folder = bodies(data)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f"{TEMPORARY}{feed_id}.", dir=folder)
        except OSError as error:
            raise StorageFailed(f"cannot write into {folder}: {error.strerror or error}") from error
        self.path = Path(name)
        self.size = 0
        self._file = os.fdopen(handle, "wb")
        self._limit = limit
        self._digest = hashlib.sha256()
        self._finished = False

    def write(self, chunk: bytes) -> None:
        """Add bytes. Raises BodyTooLargeError before the limit is passed, StorageFailed if it fails."""
        if self.size + len(chunk) > self._limit:
            raise BodyTooLargeError
        self.size += len(chunk)
        self._digest.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, url: str) -> Part:
        """Close the file and describe it as the body of this URL. Raises StorageFailed."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error
        self._finished = True
        return Part(
            url=shown(url),
            path=self.path,
            size=self.size,
            digest=self._digest.hexdigest(),
            source=digest_of([url]),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._finished:
            with suppress(OSError):  # a full disk may refuse the buffered rest, which is not wanted any more
                self._file.close()
            _remove(self.path)

    def _failed(self, error: OSError) -> StorageFailed:
        return StorageFailed(f"cannot write {self.path}: {error.strerror or error}")


def commit(data: Path, state: FeedState, parts: Sequence[Part], *, durable: bool = True) -> FeedState:
    """Make these parts the last good version of the feed, and ``state`` its state; give the state as written.

    parts: candidates, bodies already stored, or both. durable: where an older body is given up for a new one,
    one of the two also survives a power cut. Raises StorageFailed, and the old version stays.
    """
    before = read_state(data, state.feed_id)
    given_up = {part.path for part in before.parts} - {part.path for part in parts}
    synced = durable and bool(given_up)  # else nothing can be lost
    stored = _take_all(data, state.feed_id, parts, durable=synced)
    return _replace_state(data, before, replace(state, parts=stored), durable=synced)


def hold(data: Path, state: FeedState, held: Held) -> FeedState:
    """Keep the parts of ``held`` aside, in quarantine, and write ``state``; what is in force stays.

    Gives the state as written. A body that was held before goes. Raises StorageFailed.
    """
    before = read_state(data, state.feed_id)
    stored = _take_all(data, state.feed_id, held.parts, durable=False)
    return _replace_state(data, before, replace(state, held=replace(held, parts=stored)), durable=False)


def release(data: Path, state: FeedState) -> FeedState:
    """Let go of the body in quarantine. Raises StorageFailed."""
    return _replace_state(data, state, replace(state, held=None), durable=False)


def _take_all(data: Path, feed_id: str, parts: Sequence[Part], *, durable: bool) -> tuple[Part, ...]:
    folder = bodies(data)
    try:
        return tuple(_take(folder, feed_id, number, part, durable) for number, part in enumerate(parts))
    except OSError as error:
        raise StorageFailed(f"cannot keep the body of {feed_id}: {error.strerror or error}") from error


def _replace_state(data: Path, before: FeedState, state: FeedState, *, durable: bool) -> FeedState:
    """Write a state, then remove the bodies that it does not name any more."""
    write_state(data, state, durable=durable)
    for path in {part.path for part in before.bodies} - {part.path for part in state.bodies}:
        _remove(path)
    return state


def _take(folder: Path, feed_id: str, number: int, part: Part, durable: bool) -> Part:
    if durable:
        sync_file(part.path)  # a body from quarantine was not important enough before
    if not is_candidate(part):
        return part
    path = folder / f"{feed_id}.{number}.{part.digest[:16]}.body"
    part.path.replace(path)
    return replace(part, path=path)


def discard(parts: Sequence[Part]) -> None:
    """Remove those of the parts that are candidates; bodies already held are not touched."""
    for part in parts:
        if is_candidate(part):
            _remove(part.path)


def verify(part: Part) -> bool:
    """Whether the body on disk is the one that was stored; a missing or damaged one counts as absent."""
    try:
        with part.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != part.size:
                return False
            return hashlib.file_digest(file, "sha256").hexdigest() == part.digest
    except OSError:
        return False


def sweep(data: Path, keep: Collection[str]) -> int:
    """Remove temporary files, bodies no state names, bodies of feeds not in ``keep``; give their number.

    The states of those feeds stay without their bodies: the floor holds if the feed comes back. Only the
    holder of the refresh lock may call it. Raises StorageFailed.
    """
    folder = bodies(data)
    if not folder.is_dir():
        return 0
    try:
        removed = remove_temporaries(folder)
        named: set[Path] = set()
        for feed_id, state in read_states(data).items():
            if feed_id in keep:
                named.update(part.path for part in state.bodies)
            elif state.bodies:
                write_state(data, replace(state, parts=(), held=None), durable=False)
        for path in folder.iterdir():
            if BODY_NAME.fullmatch(path.name) and path not in named:
                path.unlink(missing_ok=True)
                removed += 1
    except OSError as error:
        raise StorageFailed(f"cannot clean {folder}: {error.strerror or error}") from error
    return removed


def _remove(path: Path) -> None:
    with suppress(OSError):  # a leftover is no failure of the fetch, sweep comes by again
        path.unlink(missing_ok=True)
