"""GET /v1/history/{ip} and the pin over HTTP; the same on the command line."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from blocklistd.cli import cli
from blocklistd.state.audit import Actor
from blocklistd.state.database import Database
from blocklistd.state.pins import lift_pin, set_pin
from blocklistd.units import format_moment
from blocklistd.web.app import make_app
from tests.index.ground import Ground
from tests.web.conftest import make_service

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_aiohttp import AiohttpClient

    from blocklistd.web.service import Service
    from tests.web.conftest import Client

DAY = 86_400
START = int(time.time()) - 2 * DAY - 60
"""The lists of the last pass are fresh, so that the daemon is ready."""
TIMES = [format_moment(START + day * DAY) for day in range(3)]
ONE = 0xC0000201
ON_ONE = {"feed": "one", "network": "192.0.2.1/32", "kept": False}
EVENTS = [
    {"at": TIMES[2], "event": "removed", "generation": 3, **ON_ONE},
    {"at": TIMES[1], "event": "added", "generation": 2, **ON_ONE},
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """192.0.2.1 was on the list ``one`` for a day, and is on ``two`` all the time."""
    ground = Ground(tmp_path)
    two = [(4, ONE, ONE)]
    for day, one in enumerate(([(4, 7, 7)], [(4, 7, 7), (4, ONE, ONE)], [(4, 7, 7)])):
        ground.put({"one": one, "two": two}, START + day * DAY)
    return tmp_path


@pytest.fixture
def service(data: Path) -> Service:
    return make_service(data)


@pytest.fixture
async def client(service: Service, aiohttp_client: AiohttpClient) -> Client:
    return await aiohttp_client(make_app(service))


async def test_events_come_newest_first(client: Client) -> None:
    """Beside them which lists name the address now, and since when the past is known."""
    answer = await client.get("/v1/history/192.0.2.1")
    body = await answer.json()
    snapshot = body.pop("snapshot")
    assert body == {
        "ip": "192.0.2.1",
        "listed": True,
        "feeds": ["two"],
        "known_since": TIMES[0],
        "events": EVENTS,
    }
    assert snapshot == (await (await client.get("/readyz")).json())["snapshot"]


async def test_an_address_that_never_changed_has_none(client: Client) -> None:
    """It is an answer like any other, of either family."""
    for ip in ("198.51.100.1", "2001:db8::1"):
        body = await (await client.get(f"/v1/history/{ip}")).json()
        assert (body["listed"], body["events"]) == (False, [])


async def test_what_is_no_address_is_refused(client: Client) -> None:
    """With 400 and a sentence, a network too."""
    for text in ("nonsense", "192.0.2.0/24"):
        assert (await client.get(f"/v1/history/{text}")).status == 400


def lose_history(data: Path) -> None:
    for path in data.glob("history.db*"):
        path.unlink()


async def test_without_a_history_only_this_question_fails(client: Client, data: Path) -> None:
    """503 with the reason; lookups go on."""
    lose_history(data)
    answer = await client.get("/v1/history/192.0.2.1")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert "nothing is known of the past yet" in (await answer.json())["detail"]
    assert (await client.get("/v1/ip/192.0.2.1")).status == 200


async def test_the_pin_is_shown_wherever_an_operator_looks(service: Service, client: Client, data: Path) -> None:
    """In /v1/feeds, /readyz and the metrics, until it is lifted."""
    actor = Actor("ana", "command line")
    with Database.open(data) as database:
        pin = set_pin(database, "20251201T120000Z-01234567", "too many", actor, START)
    service.state.load()
    for path in ("/v1/feeds", "/readyz"):
        assert (await (await client.get(path)).json())["pin"] == pin.as_document()
    assert "blocklistd_snapshot_pinned 1.0" in await (await client.get("/metrics")).text()
    with Database.open(data) as database:
        lift_pin(database, actor, START)
    service.state.load()
    for path in ("/v1/feeds", "/readyz"):
        assert (await (await client.get(path)).json())["pin"] is None
    assert "blocklistd_snapshot_pinned 0.0" in await (await client.get("/metrics")).text()
    service.state.close()


def run(data: Path, *arguments: str) -> Any:
    return CliRunner().invoke(cli, [*arguments, "--data", str(data)], standalone_mode=False)


def test_the_command_tells_the_same(data: Path) -> None:
    """``history`` as a table and as the JSON of the route."""
    assert json.loads(run(data, "history", "192.0.2.1", "--json").stdout)["events"] == EVENTS
    shown = run(data, "history", "192.0.2.1").stdout.splitlines()
    assert shown[1].split() == [TIMES[2], "removed", "one", "192.0.2.1/32"]
    assert shown[-1] == f"192.0.2.1  now on two; known since {TIMES[0]}"
    assert "now on no list" in run(data, "history", "198.51.100.1").stdout


def test_lookup_answers_as_of_a_time(data: Path) -> None:
    """Exactly what it would have answered then; before that is known it is an error, not an answer."""
    in_between = str(TIMES[1]).removesuffix("Z")
    for moment, feeds in ((TIMES[0], "two"), (in_between, "one, two"), ("12h", "one, two"), ("1s", "two")):
        result = run(data, "lookup", "--as-of", str(moment), "192.0.2.1")
        assert (result.return_value, result.stdout) == (0, f"192.0.2.1  {feeds}\n")
    assert run(data, "lookup", "--as-of", "1s", "198.51.100.1").return_value == 1
    for moment, sentence in (("2025-11-30", f"is known since {TIMES[0]}"), ("yesterday", "is no time")):
        assert sentence in str(run(data, "lookup", "--as-of", moment, "192.0.2.1").exception)
