"""A body read in advance: nothing lost, nothing waits for ever, memory bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.web.ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterable


class Body:
    """Gives its chunks one by one, with turns of the loop between them, then its end: nothing or an error."""

    def __init__(self, chunks: Iterable[bytes], *, turns: int = 0, error: Exception | None = None) -> None:
        self.left = deque(chunks)
        self._turns = turns
        self._error = error

    async def readany(self) -> bytes:
        for _ in range(self._turns):
            await asyncio.sleep(0)
        if self.left:
            return self.left.popleft()
        if self._error is not None:
            raise self._error
        return b""


class Silence:
    async def readany(self) -> bytes:
        await asyncio.Event().wait()
        return b""


async def read(body: Body, *, ahead: int, turns: int = 0) -> list[bytes]:
    """All chunks, taken with so many turns of the loop after each."""
    reading = ReadAhead(body, ahead=ahead, patience=5)
    taken = []
    try:
        async for chunk in reading:
            taken.append(chunk)
            for _ in range(turns):
                await asyncio.sleep(0)
    finally:
        await reading.close()
    return taken


@given(
    st.lists(st.binary(min_size=1, max_size=30), max_size=12),
    st.integers(0, 40),
    st.integers(0, 3),
    st.integers(0, 3),
)
def test_every_chunk_comes_once_and_in_order(chunks: list[bytes], ahead: int, slow: int, lazy: int) -> None:
    """Whatever the sizes, the limit and the pace of both sides, also where one chunk exceeds the limit."""

    async def whole() -> list[bytes]:
        async with asyncio.timeout(5):
            return await read(Body(chunks, turns=slow), ahead=ahead, turns=lazy)

    assert asyncio.run(whole()) == chunks


async def test_reading_pauses_beyond_the_limit() -> None:
    """With nobody taking, no more is read than the limit and one chunk; it goes on when something is taken."""
    body = Body([b"x" * 10] * 100)
    reading = ReadAhead(body, ahead=50, patience=5)
    try:
        for _ in range(200):
            await asyncio.sleep(0)
        assert 100 - len(body.left) == 6
        taken = [chunk async for chunk in reading]
        assert len(taken) == 100
    finally:
        await reading.close()


async def test_an_error_comes_after_what_arrived_before_it() -> None:
    """What a body broke off with is raised where it broke off."""
    reading = ReadAhead(Body([b"a", b"b"], error=ConnectionError("gone")), ahead=10, patience=5)
    taken: list[bytes] = []

    async def take() -> None:
        async for chunk in reading:
            taken.append(chunk)  # noqa: PERF401 - what came before the error counts

    try:
        with pytest.raises(ConnectionError, match="gone"):
            await take()
    finally:
        await reading.close()
    assert taken == [b"a", b"b"]


async def test_a_silent_caller_is_given_up() -> None:
    """Without a chunk for ``patience`` seconds reading ends with TimeoutError."""
    reading = ReadAhead(Silence(), ahead=10, patience=0.01)
    try:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(aiter(reading)), 5)
    finally:
        await reading.close()


async def test_closing_ends_the_reading() -> None:
    """A consumer that stops early leaves nothing behind."""
    before = asyncio.all_tasks()
    reading = ReadAhead(Silence(), ahead=10, patience=5)
    assert asyncio.all_tasks() > before
    await reading.close()
    assert asyncio.all_tasks() == before
