"""Keys on both kinds of listener: the lookup protocol and aiohttp alone agree, whoever asks with whatever."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocklistd.state import FILE
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.keys import add_key, revoke_key
from blocklistd.web.access import CHALLENGE, OPEN
from blocklistd.web.app import ROUTES
from blocklistd.web.credentials import presented, presented_in
from blocklistd.web.hot import is_harmless
from blocklistd.web.ready import ReadyRule
from tests.support import make_snapshot
from tests.web.conftest import DOMAINS, FEEDS
from tests.web.rig import Side, request
from tests.web.test_hot_differential import BROWSER, Pair, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("code")

ALICE = Actor("alice", "command line")
REFUSED = b"HTTP/1.1 401 Unauthorized\r\n"


def prepare(data: Path) -> dict[str, str]:
    """A snapshot and three keys, the third revoked again; gives their texts."""
    make_snapshot(data, FEEDS, domains=DOMAINS)
    texts = {}
    with Database.open(data) as database:
        for name in ("read", "operator", "gone"):
            _, texts[name] = add_key(database, name, "operator" if name == "operator" else "read", ALICE, time.time())
        revoke_key(database, "gone", ALICE, time.time())
    return texts


@pytest.fixture(scope="module", params=[True, False], ids=["guarded", "open"])
def both(request: pytest.FixtureRequest, code: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keys")
    texts = prepare(folder)
    with opened(folder, uvloop.new_event_loop, folder, guarded=request.param) as pair:
        yield Keyed(pair, texts, guarded=request.param)


class Keyed:
    """Two sides that know the same keys."""

    def __init__(self, pair: Pair, texts: dict[str, str], *, guarded: bool) -> None:
        self.pair, self.texts, self.guarded = pair, texts, guarded

    def ways(self) -> dict[str, list[str]]:
        """Header lines, by what they are: good, bad, or read by nobody."""
        read, operator, gone = self.texts.values()
        good = [
            *(f"Authorization: Bearer {read}", f"authorization: bearer {operator}", f"X-Api-Key: {read}"),
            *(f"X-API-KEY: {operator}", f"Authorization:BEARER {read}", f"Authorization: Bearer   {read}"),
            *(f"X-Api-Key:   {read}  ", f"Authorization: Bearer {gone}\r\nX-Api-Key: {read}"),
            *(
                f"Authorization: Basic eDp5\r\nX-Api-Key: {read}",
                f"X-Api-Key: nonsense\r\nAuthorization: Bearer {read}",
            ),
        ]
        bad = [
            *("Authorization: Bearer nonsense", f"Authorization: Bearer {gone}", f"X-Api-Key: {gone}"),
            *(f"X-Api-Key: {read[:-1]}", f"X-Api-Key: {read}x", f"X-Api-Key: {read.lower()}", "X-Api-Key: read"),
            *(f"X-Api-Key: Bearer {read}", f"Authorization: Bearer {read} {operator}", f'X-Api-Key: "{read}"'),
        ]
        none = [
            *("Authorization: Basic eDp5", f"Authorization: {read}", f"Authorization: Bearer{read}", "Accept: */*"),
            *(f"Authorization: Token {read}", f"Cookie: key={read}", f"X-Key: {read}", "Authorization: Bearer"),
            *(f"Api-Key: {read}", "X-Api-Key:"),
        ]
        return {"good": good, "bad": bad, "none": none}


@pytest.mark.parametrize("kind", ["good", "bad", "none"])
def test_every_way_to_present_a_key_is_judged_alike(both: Keyed, kind: str) -> None:
    """A good key is answered, anything else is 401 where keys are asked for; elsewhere all are answered."""
    for line in both.ways()[kind]:
        for ip, status in (("192.0.2.1", b"200 OK"), ("nonsense", b"400 Bad Request")):
            one = request(f"/v1/ip/{ip}", line, *BROWSER)
            ((came, ended),) = both.pair.compare(one)
            assert not ended
            admitted = kind == "good" or not both.guarded
            assert came.startswith(b"HTTP/1.1 " + (status if admitted else b"401 Unauthorized")), line
            if not admitted:
                challenge = CHALLENGE + (', error="invalid_token"' if kind == "bad" else "")
                assert f"\r\nWWW-Authenticate: {challenge}\r\n".encode() in came
            both.pair.compare(one + request("/v1/ip/192.0.2.9", *BROWSER) + one, one, request("/healthz"), one)


def test_a_key_twice_is_judged_alike(both: Keyed) -> None:
    """Two lines of one name are not plain, so aiohttp judges them, whatever the lines hold."""
    good, bad = both.ways()["good"][2], both.ways()["bad"][2]
    for lines in ((good, bad), (bad, good), (good, good)):
        both.pair.compare(request("/v1/ip/192.0.2.1", *lines))


def test_a_cut_tells_nothing_apart(both: Keyed) -> None:
    """With a good key, a bad one and none: what comes back after each part is what aiohttp gives at that point."""
    for line in (both.ways()["good"][0], both.ways()["bad"][0]):
        stream = request("/v1/ip/192.0.2.1", line)
        for cut in range(1, len(stream), 2):
            both.pair.compare(stream[:cut], stream[cut:], stream)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_conversation_with_keys_tells_the_two_apart(both: Keyed, data: st.DataObject) -> None:
    """Generated pipelines of lookups and other routes with good, bad and no keys."""
    lines = [line for way in both.ways().values() for line in way]
    paths = st.sampled_from(["/v1/ip/192.0.2.1", "/v1/ip/x", "/healthz", "/nowhere", "/", "/v1/overrides/x"])
    drawn = data.draw(st.lists(st.tuples(paths, st.sampled_from(lines)), min_size=1, max_size=5))
    stream = b"".join(request(path, line) for path, line in drawn)
    cut = data.draw(st.integers(0, len(stream)))
    both.pair.compare(*[part for part in (stream[:cut], stream[cut:]) if part])


def test_only_life_and_readiness_need_no_key(both: Keyed) -> None:
    """On a guarded listener every other route and path is 401; on an open one only the operator's are."""
    keyless = set()
    for route in ROUTES:
        path = route.path.replace("{", "").replace("}", "")
        stream = request(path).replace(b"GET", route.method.encode(), 1)
        (came, _), *_ = both.pair.runner.run(both.pair.hot.talk([stream]))
        if not came.startswith(REFUSED):
            keyless.add(route.name)
    operators = {route.name for route in ROUTES if route.name.startswith("override")}
    assert keyless == (set(OPEN) if both.guarded else {route.name for route in ROUTES} - operators)
    ((came, _),) = both.pair.compare(request("/nowhere"))
    assert came.startswith(REFUSED if both.guarded else b"HTTP/1.1 404 ")


def test_readiness_tells_names_to_who_is_admitted(both: Keyed) -> None:
    """Feeds, and the operator who pinned a snapshot, are nobody's business who needs a key and has none."""
    side, ways = both.pair.hot, both.ways()
    for line, admitted in ((ways["good"][0], True), (ways["bad"][0], not both.guarded), ("", not both.guarded)):
        asking = [request("/readyz", *filter(None, [line]))]
        ((came, _),) = both.pair.runner.run(side.talk(asking))
        assert came.startswith(b"HTTP/1.1 200 OK")
        assert (b'"pin":' in came, b'"quarantined_feeds":' in came) == (admitted, admitted)
        side.service.ready = ReadyRule(("nonesuch",))
        ((came, _),) = both.pair.runner.run(side.talk(asking))
        side.service.ready = ReadyRule()
        assert came.startswith(b"HTTP/1.1 503 ")
        assert (b"nonesuch" in came) == admitted


async def test_whether_a_part_is_waited_for_tells_nothing_about_keys(tmp_path: Path) -> None:
    """While a key is in use, the first bytes of it and any others are treated alike, so none can be found out."""
    texts = prepare(tmp_path)
    side = await Side.open(tmp_path, tmp_path / "sock", guarded=True)
    customer, guesser = await side.connect(unix=True), await side.connect(unix=True)
    customer.send(request("/v1/ip/192.0.2.1", f"X-Api-Key: {texts['read']}"))
    assert (await customer.settle()).startswith(b"HTTP/1.1 200 ")
    right = request("/v1/ip/192.0.2.1", f"X-Api-Key: {texts['read'][:9]}")[:-4]
    for guess in (right, right[:-1] + bytes([right[-1] ^ 1])):
        guesser.send(guess)
        await guesser.settle()
        assert len(side.connections.here) == 2  # neither was handed over
        guesser.close()
        await side.deserted(but=1)
        guesser = await side.connect(unix=True)
    guesser.close()
    customer.close()
    await side.close()


# keys that come and go


@pytest.mark.parametrize("plain", [True, False])
async def test_a_revoked_key_is_refused_on_a_connection_that_is_open(tmp_path: Path, *, plain: bool) -> None:
    """A connection that was served with it a moment ago is told 401; a new key is good on the next request."""
    texts = prepare(tmp_path)
    side = await Side.open(tmp_path, tmp_path / "sock", plain=plain, guarded=True)
    clients = [await side.connect(unix=unix) for unix in (True, False)]
    asking = request("/v1/ip/192.0.2.1", f"X-Api-Key: {texts['read']}", *BROWSER)

    async def ask(stream: bytes) -> list[bytes]:
        came = []
        for client in clients:
            client.send(stream)
            async with asyncio.timeout(10):
                while not (part := await client.settle()):
                    pass
            came.append(part.partition(b"\r\n")[0])
        return came

    for _ in range(3):
        assert await ask(asking) == [b"HTTP/1.1 200 OK"] * 2
    assert len(side.connections.here) == (2 if plain else 0)  # a good key keeps a lookup plain
    with Database.open(tmp_path) as database:
        revoke_key(database, "read", ALICE, time.time())
        _, fresh = add_key(database, "new", "read", ALICE, time.time())
    assert side.service.state.changed()
    assert side.service.state.load()
    side.connections.renew()
    assert await ask(asking) == [b"HTTP/1.1 401 Unauthorized"] * 2
    assert await ask(asking.replace(texts["read"].encode(), fresh.encode())) == [b"HTTP/1.1 200 OK"] * 2
    for client in clients:
        client.close()
    await side.close()


def test_without_readable_keys_nobody_is_let_in(tmp_path: Path) -> None:
    """A worker that starts with a damaged store answers 503 where it would have to ask for a key: not 200, not 401."""
    texts = prepare(tmp_path)
    (tmp_path / FILE).write_bytes(b"nonsense" * 1000)
    with opened(tmp_path, uvloop.new_event_loop, tmp_path, guarded=True) as pair:
        assert "damaged" in pair.hot.service.state.problem
        for line in ("Accept: */*", f"X-Api-Key: {texts['read']}"):
            ((came, _),) = pair.compare(request("/v1/ip/192.0.2.1", line))
            assert came.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert b"\r\nRetry-After: 5\r\n" in came
        ((came, _),) = pair.compare(request("/healthz"))
        assert came.startswith(b"HTTP/1.1 200 OK")


async def test_both_kinds_of_listener_share_one_limit(tmp_path: Path) -> None:
    """Connections to the guarded listener count towards the limit of the worker like those to the open one."""
    texts = prepare(tmp_path)
    side = await Side.open(tmp_path, tmp_path / "open", most=2)
    guarded = await Side.open(tmp_path, tmp_path / "guarded", most=2, guarded=True, beside=side.connections)
    first, second = await side.connect(unix=True), await guarded.connect(unix=True)
    first.send(request())
    second.send(request("/v1/ip/192.0.2.1", f"X-Api-Key: {texts['read']}"))
    assert (await first.settle()).startswith(b"HTTP/1.1 200 ")
    assert (await second.settle()).startswith(b"HTTP/1.1 200 ")
    for one in (side, guarded):
        third = await one.connect(unix=True)
        assert (await third.wait_end()).startswith(b"HTTP/1.1 503 ")
        third.close()
    first.close()
    second.close()
    await guarded.close()
    await side.close()


# reading what is presented


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1),
    st.sampled_from(["Authorization", "X-Api-Key"]),
)
def test_both_readers_see_the_same_key(value: str, name: str) -> None:
    """What is read from the bytes of a plain header block is what is read from headers."""
    block = f"Host: a\r\n{name}: {value}\r\n\r\n".encode()
    if is_harmless(block):
        authorization, api_key = (value, None) if name == "Authorization" else (None, value)
        assert presented_in(block) == presented(authorization, api_key)
