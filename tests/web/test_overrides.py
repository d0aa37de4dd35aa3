"""/v1/overrides as its operator meets it, and who that is."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from blocklistd.state import FILE
from blocklistd.state.audit import Actor, read_acts
from blocklistd.state.database import Database
from blocklistd.state.keys import KeyRing, Scope, add_key, revoke_key
from blocklistd.state.overrides import make_override, put_override
from blocklistd.web.app import make_app
from blocklistd.web.service import RefreshReply
from tests.web.conftest import make_service

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_aiohttp import AiohttpClient

    from blocklistd.web.service import Service
    from tests.web.conftest import Client

ALICE = Actor("alice", "command line")
ENTRY = {"action": "deny", "reason": "ticket 17"}


def make_key(service: Service, name: str, scope: Scope) -> dict[str, str]:
    """The headers of a new key that the worker knows already."""
    with Database.open(service.data) as database:
        _, text = add_key(database, name, scope, ALICE, time.time())
    assert service.state.load()
    return {"X-Api-Key": text}


@pytest.fixture
def operator(service: Service) -> dict[str, str]:
    return make_key(service, "op", "operator")


async def test_an_entry_is_put_shown_changed_and_taken_away(
    client: Client, operator: dict[str, str], service: Service
) -> None:
    """201 for a new one, 200 for another of its key; in force in this worker when the answer comes; then it is gone."""
    path = "/v1/overrides/192.0.2.0/24"
    response = await client.put(path, json=ENTRY, headers=operator)
    body = await response.json()
    assert response.status == 201
    assert body | {"created": ""} == ENTRY | {
        "key": "192.0.2.0/24",
        "author": "op",
        "created": "",
        "expires": None,
    }
    assert abs(datetime.fromisoformat(body["created"]).timestamp() - time.time()) < 60
    found = service.state.overrides.find(4, 0xC0000207)
    assert found is not None
    assert found.as_document() == body
    for same in (path, "/v1/overrides/192.0.2.0%2F24", "/v1/overrides/::ffff:192.0.2.0%2f120"):
        assert await (await client.get(same, headers=operator)).json() == body
    assert await (await client.get("/v1/overrides", headers=operator)).json() == {"overrides": [body]}
    changed = {"action": "allow", "reason": "ours", "author": "bob", "expires": "2100-01-01T00:00:00Z"}
    response = await client.put(path, json=changed, headers=operator)
    assert response.status == 200
    body = await response.json()
    assert {name: body[name] for name in changed} == changed
    response = await client.delete(path, headers=operator)
    assert (response.status, await response.json()) == (200, body)
    assert service.state.overrides.find(4, 0xC0000207) is None
    for method in ("GET", "DELETE"):
        assert (await client.request(method, path, headers=operator)).status == 404
    with Database.open(service.data) as database:
        acts = [(act.actor, act.action) for act in read_acts(database, 3)]
        origins = {act.origin for act in read_acts(database, 3)}
    assert acts == [("op", "override.remove"), ("op", "override.put"), ("op", "override.put")]
    assert origins == {"http, 127.0.0.1"}


@pytest.mark.parametrize("key", ["AS64500", "DE", "feed:alpha", "2001:db8::1", "2001:db8::%2F32"])
async def test_every_kind_of_key_can_be_put(client: Client, operator: dict[str, str], key: str) -> None:
    """ASN, country, feed, IPv6 address and network, in JSON and msgpack."""
    response = await client.put(f"/v1/overrides/{key}", json=ENTRY | {"action": "allow"}, headers=operator)
    assert response.status == 201
    packed = operator | {"Accept": "application/msgpack"}
    assert (await client.get(f"/v1/overrides/{key}", headers=packed)).content_type == "application/msgpack"


@pytest.mark.parametrize(
    ("key", "body", "status", "words"),
    [
        ("192.0.2.7/24", ENTRY, 400, "host bits"),
        ("nonsense", ENTRY, 400, "no key"),
        ("0.0.0.0/0", ENTRY, 400, "wider"),
        ("feed:alpha", ENTRY, 400, "its action is allow"),
        ("192.0.2.7", {"action": "deny"}, 400, "reason is missing"),
        ("192.0.2.7", {"reason": "x"}, 400, "action must be"),
        ("192.0.2.7", ENTRY | {"expires": "2001-01-01"}, 400, "past"),
        ("192.0.2.7", ENTRY | {"expire": "7d"}, 400, "not expire"),
        ("192.0.2.7", ENTRY | {"reason": "x" * 20_000}, 413, "bytes"),
        ("192.0.2.7", [ENTRY], 400, "must be an object"),
        ("192.0.2.7", "deny", 400, "must be an object"),
    ],
)
async def test_what_is_no_entry_is_refused(
    client: Client, operator: dict[str, str], key: str, body: object, status: int, words: str
) -> None:
    """The sentence says what is wrong, and nothing is stored."""
    response = await client.put(f"/v1/overrides/{key}", json=body, headers=operator)
    assert (response.status, response.content_type) == (status, "application/problem+json")
    assert words in (await response.json())["detail"]
    assert await (await client.get("/v1/overrides", headers=operator)).json() == {"overrides": []}


async def test_a_body_must_be_json_that_ends(client: Client, operator: dict[str, str]) -> None:
    """Another type is 415, a broken one 400, an endless one 413."""
    path = "/v1/overrides/192.0.2.7"
    assert (await client.put(path, data="action=deny", headers=operator)).status == 415
    headers = operator | {"Content-Type": "application/json"}
    assert (await client.put(path, data=b"{", headers=headers)).status == 400

    async def endless() -> Any:
        while True:
            yield b" " * 2**16
            await asyncio.sleep(0)

    response = await client.put(path, data=endless(), headers=headers)
    assert response.status == 413


# who may


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/overrides"),
        ("GET", "/v1/overrides/DE"),
        ("PUT", "/v1/overrides/DE"),
        ("DELETE", "/v1/overrides/DE"),
    ],
)
async def test_only_the_operator_may(client: Client, service: Service, method: str, path: str) -> None:
    """On loopback too: no key and an unknown one are 401, one that may only read is 403, a revoked one 401 again."""
    operator, reader = make_key(service, "op", "operator"), make_key(service, "rd", "read")

    async def ask(headers: dict[str, str]) -> tuple[int, str | None]:
        response = await client.request(method, path, json=ENTRY, headers=headers)
        return response.status, response.headers.get("WWW-Authenticate")

    assert await ask({}) == (401, 'Bearer realm="blocklistd"')
    assert await ask({"Authorization": "Basic b3A6b3A="}) == (401, 'Bearer realm="blocklistd"')
    unknown = (401, 'Bearer realm="blocklistd", error="invalid_token"')
    assert await ask({"X-Api-Key": "blk_nonsense"}) == unknown
    assert await ask(reader) == (403, None)
    assert (await ask(operator))[0] in {200, 201, 404}
    assert (await ask({"authorization": f"bearer {operator['X-Api-Key']}"}))[0] in {200, 201, 404}
    with Database.open(service.data) as database:
        revoke_key(database, "op", ALICE, time.time())
    assert service.state.changed()
    assert service.state.load()
    assert await ask(operator) == unknown


async def test_a_refresh_is_asked_for_by_the_operator_or_on_the_host(client: Client, service: Service) -> None:
    """A key that is given counts: one that may only read is refused even there. Who asked is noted."""

    async def agree() -> RefreshReply:
        return RefreshReply(202, "A refresh begins now.")

    service.ask_refresh = agree
    operator, reader = make_key(service, "op", "operator"), make_key(service, "rd", "read")
    statuses = [
        (await client.post("/v1/refresh", headers=headers)).status
        for headers in (
            {},
            {"X-Forwarded-For": "192.0.2.1"},
            operator | {"X-Forwarded-For": "192.0.2.1"},
            reader,
            {"X-Api-Key": "nonsense"},
        )
    ]
    assert statuses == [202, 403, 202, 403, 401]
    with Database.open(service.data) as database:
        acts = [(act.actor, act.action, act.origin) for act in read_acts(database, 2)]
    assert acts == [("op", "refresh.ask", "http, 127.0.0.1"), ("local", "refresh.ask", "http, 127.0.0.1")]


# trouble


async def test_a_broken_state_leaves_in_force_what_was_read(
    client: Client, operator: dict[str, str], service: Service
) -> None:
    """Damaged under way: the entries and keys read before stay, answers say 503, feeds and metrics say why."""
    await client.put("/v1/overrides/192.0.2.7", json=ENTRY, headers=operator)
    service.state.close()
    whole = (service.data / FILE).read_bytes()
    (service.data / FILE).unlink()
    (service.data / FILE).write_bytes(b"nonsense" * 1000)
    assert service.state.changed()
    assert not service.state.load()
    assert service.state.overrides.find(4, 0xC0000207) is not None
    for method in ("GET", "PUT", "DELETE"):
        response = await client.request(method, "/v1/overrides/192.0.2.7", json=ENTRY, headers=operator)
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        detail = (await response.json())["detail"]
        assert "state.db is damaged" in detail
        assert str(service.data) not in detail
    assert "damaged" in (await (await client.get("/v1/feeds")).json())["state_problem"]
    metrics = await (await client.get("/metrics")).text()
    assert "blocklistd_state_intact 0.0" in metrics
    assert "blocklistd_override_entries 1.0" in metrics
    assert (await client.get("/v1/ip/192.0.2.7")).status == 200
    (service.data / FILE).unlink()
    (service.data / FILE).write_bytes(whole)
    assert service.state.load()
    assert (await (await client.get("/v1/feeds")).json())["state_problem"] is None


async def test_a_state_that_goes_away_stays_in_force(service: Service, operator: dict[str, str]) -> None:
    """Whoever deletes the file does not switch the operator's word off in a running worker; a new file does."""
    with Database.open(service.data) as database:
        put_override(database, make_override("DE", "deny", "x", None, None, actor=ALICE, now=1.0), ALICE)
    assert service.state.load()
    for path in service.data.glob(f"{FILE}*"):
        path.unlink()
    assert service.state.changed()
    assert not service.state.load()
    assert "gone" in service.state.problem
    assert service.state.overrides.find(4, 1, None, "DE") is not None
    Database.open(service.data).close()
    assert service.state.load()
    assert service.state.overrides.find(4, 1, None, "DE") is None
    assert service.state.keys == KeyRing()


def test_a_worker_does_not_load_what_nobody_asks_for() -> None:
    """The routes and an empty state come without SQLite and without tries."""
    script = (
        "import sys, pathlib, blocklistd.web.app; from blocklistd.web.state import CurrentState;"
        "state = CurrentState(pathlib.Path('/nowhere')); assert state.load() and not state.changed();"
        "sys.exit(', '.join(sorted({'sqlite3', 'pytricia', 'blocklistd.state.database'} & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


async def test_without_a_state_nothing_is_created_or_loaded(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """Answering and looking leave the data folder as it is; then the first entry is seen."""
    service = make_service(tmp_path)
    client = await aiohttp_client(make_app(service))
    assert service.state.changed()
    assert service.state.load()
    assert not service.state.changed()
    await client.get("/v1/ip/192.0.2.1")
    assert not (tmp_path / FILE).exists()
    Database.open(tmp_path).close()
    assert service.state.changed()
    assert service.state.load()
    service.state.close()
