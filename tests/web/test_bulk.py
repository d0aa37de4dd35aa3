"""POST /v1/ip: many questions in one request."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocklistd.web.bodies import Answering
from blocklistd.web.bulk import AHEAD, MOST_BYTES, MOST_ITEMS
from blocklistd.web.lines import LineSplitter
from blocklistd.web.report import array_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.web.conftest import Client

MIXED: list[Any] = [
    *("192.0.2.1", "nonsense", "192.0.2.1", "::ffff:192.0.2.7", "2001:DB8::1", "", " 192.0.2.1", "203.0.113.9"),
    *(7, None, True, 1.5, ["192.0.2.1"], {"ip": "192.0.2.1"}, "192.0.2.0/24", "x" * 1000),
]


class Rounds(Answering):
    """Answers with the number of times the loop has gone round."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0

    async def count(self) -> None:
        while True:
            self.now += 1
            await asyncio.sleep(0)

    def single(self, text: str) -> bytes:
        return f"{self.now}{text}".encode()


async def test_requests_for_many_take_turns() -> None:
    """However many there are, the loop goes round after each batch, so others wait for one batch and no more."""
    rounds, turn = Rounds(), asyncio.Lock()
    counting = asyncio.create_task(rounds.count())

    async def collect() -> list[bytes]:
        return [piece async for piece in array_of(rounds, [""] * 9, 1, turn, packed=False)][1:-1]

    gathered = await asyncio.gather(*(collect() for _ in range(4)))
    counting.cancel()
    seen = [piece.strip(b",") for pieces in gathered for piece in pieces]
    assert len(set(seen)) == len(seen) == 36


async def test_bulk_is_the_map_of_single(client: Client) -> None:
    """Each good item of a bulk answer equals the answer to the same single question, each bad one has its sentence."""
    answers = await (await client.post("/v1/ip", json=MIXED)).json()
    assert len(answers) == len(MIXED)
    for question, answer in zip(MIXED, answers, strict=True):
        if not isinstance(question, str) or not question:
            assert answer["error"]
            continue
        single = await client.get(f"/v1/ip/{question}")
        body = await single.json()
        if single.status == 200:
            assert answer == body
        else:
            assert answer == {"ip": question[:100], "error": body["detail"]}


async def test_drawn_addresses_get_the_same_answers_every_way(client: Client) -> None:
    """Array, object, msgpack and text lines agree with each other and with single lookups."""
    step4, step6 = 2**32 // 50, 2**128 // 50
    questions = [str(IPv4Address(0xC0000200 + offset)) for offset in range(-2, 258, 13)]
    questions += [str(IPv4Address(n * step4)) for n in range(50)] + [str(IPv6Address(n * step6)) for n in range(50)]
    singles = [await (await client.get(f"/v1/ip/{question}")).json() for question in questions]
    array = await client.post("/v1/ip", json=questions)
    wrapped = await client.post("/v1/ip", json={"ips": questions})
    packed = await client.post("/v1/ip", json=questions, headers={"Accept": "application/msgpack"})
    lines = await client.post("/v1/ip", data="\n".join(questions), headers={"Content-Type": "text/plain"})
    assert await array.json() == singles
    assert await wrapped.json() == singles
    assert msgpack.unpackb(await packed.read()) == singles
    assert lines.content_type == "application/x-ndjson"
    assert [json.loads(line) for line in (await lines.text()).splitlines()] == singles


async def test_an_empty_array_is_an_empty_answer(client: Client) -> None:
    """Nothing asked, nothing answered, no error."""
    assert await (await client.post("/v1/ip", json=[])).json() == []
    response = await client.post("/v1/ip", data="", headers={"Content-Type": "text/plain"})
    assert (response.status, await response.read()) == (200, b"")


@pytest.mark.parametrize(
    ("body", "kind", "status", "words"),
    [
        (b"[", "application/json", 400, "not JSON"),
        (b"\xff\xfe", "application/json", 400, "not JSON"),
        (b"", "application/json", 400, "not JSON"),
        (b'"192.0.2.1"', "application/json", 400, "array of addresses"),
        (b'{"ip": []}', "application/json", 400, "array of addresses"),
        (b'{"ips": "192.0.2.1"}', "application/json", 400, "array of addresses"),
        (b"[" * 100_000, "application/json", 400, "not JSON"),
        (b"[" * 2000 + b"]" * 2000, "application/json", 400, "not JSON"),
        (b"ip=192.0.2.1", "application/x-www-form-urlencoded", 415, "text/plain"),
        (b"\x91\xa0", "application/msgpack", 415, "application/json"),
        (json.dumps(["::"] * (MOST_ITEMS + 1)).encode(), "application/json", 413, "50,000"),
        (b" " * (MOST_BYTES + 1), "application/json", 413, "bytes"),
    ],
)
async def test_a_body_that_cannot_be_answered_says_why(
    client: Client, body: bytes, kind: str, status: int, words: str
) -> None:
    """Bad bodies get 400, too large ones 413, other content types 415, each with a sentence that helps."""
    response = await client.post("/v1/ip", data=io.BytesIO(body), headers={"Content-Type": kind})
    assert response.status == status
    assert response.content_type == "application/problem+json"
    assert words in (await response.json())["detail"]


async def test_a_body_over_the_limit_is_refused_while_it_streams(client: Client) -> None:
    """Without a declared length the limit counts what arrives, inflated."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MOST_BYTES // 65536 + 20):
            yield b" " * 65536

    response = await client.post("/v1/ip", data=endless(), headers={"Content-Type": "application/json"})
    assert response.status == 413
    bomb = gzip.compress(b" " * (MOST_BYTES + 1))
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    response = await client.post("/v1/ip", data=bomb, headers=headers)
    assert response.status == 413
    bomb = gzip.compress(b" " * (16 * MOST_BYTES))
    response = await client.post("/v1/ip", data=bomb, headers=headers)
    assert (response.status, response.content_type) == (413, "application/problem+json")


async def test_lines_that_inflate_beyond_what_is_read_ahead_are_answered(client: Client) -> None:
    """A few kilobytes of gzip that become more than is held in advance are answered to the end, not for ever."""
    blank = b" " * 999 + b"\n"
    body = gzip.compress(blank * (2 * AHEAD // len(blank)) + b"192.0.2.1\n")
    assert len(body) < 200_000
    headers = {"Content-Type": "text/plain", "Content-Encoding": "gzip"}
    async with asyncio.timeout(30):
        response = await client.post("/v1/ip", data=body, headers=headers)
        answers = (await response.text()).splitlines()
    assert [json.loads(answer)["ip"] for answer in answers] == ["192.0.2.1"]


@pytest.mark.parametrize("accept", ["application/json", "application/msgpack"])
async def test_a_question_that_is_a_deep_array_is_answered_with_its_reason(client: Client, accept: str) -> None:
    """However deep, a list or object in the place of an address is not repeated, and the others are answered."""
    deep = "[" * 990 + "]" * 990
    headers = {"Content-Type": "application/json", "Accept": accept}
    response = await client.post("/v1/ip", data=f'[{deep}, {{"a": {deep}}}, "192.0.2.1"]', headers=headers)
    assert response.status == 200
    body = await response.read()
    answers = json.loads(body) if accept == "application/json" else msgpack.unpackb(body)
    assert [answer["ip"] for answer in answers] == [None, None, "192.0.2.1"]
    assert all("text such as" in answer["error"] for answer in answers[:2])


async def test_exactly_the_largest_array_is_answered(client: Client) -> None:
    """50,000 addresses are within the limit."""
    response = await client.post("/v1/ip", json=["192.0.2.1"] * MOST_ITEMS)
    assert len(await response.json()) == MOST_ITEMS


async def test_lines_may_be_dressed_in_blanks_and_be_bad(client: Client) -> None:
    """CRLF, blanks around an address and empty lines are no matter; a bad or overlong line is answered as such."""
    body = (
        b"192.0.2.1\r\n\r\n \t192.0.2.2 \n" + b"9" * 5000 + b"\nnot an address\n\xff\xfe\n" + b" " * 1500 + b"192.0.2.3"
    )
    response = await client.post("/v1/ip", data=body, headers={"Content-Type": "text/plain; charset=utf-8"})
    answers = [json.loads(line) for line in (await response.text()).splitlines()]
    assert [answer.get("feeds") for answer in answers] == [["alpha", "beta"], ["alpha"], None, None, None]
    assert answers[2] == {"ip": "9" * 100, "error": "a line may have 1000 bytes"}
    assert answers[3]["ip"] == "not an address"


async def test_lines_are_answered_while_they_arrive(client: Client) -> None:
    """A conversation works: the answer to a line comes before the next line is sent."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(b"POST /v1/ip HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    for address in (b"192.0.2.1", b"203.0.113.1"):
        writer.write(b"%x\r\n%b\n\r\n" % (len(address) + 1, address))
        answer = await asyncio.wait_for(reader.readuntil(b"}\n"), 5)
        assert b'"ip":"%b"' % address in answer
    writer.write(b"0\r\n\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)).endswith(b"0\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_caller_that_sends_everything_before_it_reads_is_served(client: Client) -> None:
    """Simple HTTP clients send the whole body first; 100,000 lines of it do not lock up."""
    count = 100_000
    body = b"192.0.2.1\n" * count
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(
        b"POST /v1/ip HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    writer.write(body)
    await asyncio.wait_for(writer.drain(), 30)  # nothing was read so far
    received = await asyncio.wait_for(reader.read(), 30)
    assert received.count(b'"listed":true') == count
    writer.close()
    await writer.wait_closed()


async def test_other_requests_get_their_turn_during_a_long_answer(client: Client) -> None:
    """While 50,000 addresses are answered, single questions are answered too."""
    long = asyncio.ensure_future(client.post("/v1/ip", json=["2001:db8::1"] * MOST_ITEMS))
    between = 0
    while not long.done():
        response = await client.get("/v1/ip/192.0.2.1")
        assert response.status == 200
        between += not long.done()
    assert (await long).status == 200
    assert between >= 3


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_lines_do_not_depend_on_how_the_bytes_arrive(parts: list[bytes], longest: int) -> None:
    """Splitting chunk by chunk gives the lines of the whole, each cut one byte beyond the longest allowed."""
    splitter = LineSplitter(longest)
    lines = [line for part in parts for line in splitter.feed(part)] + splitter.finish()
    whole = b"".join(parts).split(b"\n")
    if not whole[-1]:
        whole.pop()
    assert lines == [line[: longest + 1] for line in whole]


async def test_a_caller_that_leaves_is_no_failure_of_ours(client: Client) -> None:
    """Connections closed in the middle of a streamed body leave no 5xx behind."""
    assert client.port is not None
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        head = b"POST /v1/ip HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n192.0.2.1\n"
        writer.write(head)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    metrics = await (await client.get("/metrics")).text()
    assert 'blocklistd_requests_total{route="ip_bulk",status="5xx"} 0.0' in metrics
