"""The surface as a whole: routes, problems, contract, access, metrics, feeds."""

from __future__ import annotations

import json
import re
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from blocklistd.collect.state import FeedState, write_state
from blocklistd.metrics import METRICS, REQUESTS, ROUTES, SLOTS, Counters
from blocklistd.web.access import TELLTALE, is_direct, is_local
from blocklistd.web.app import ROUTES as TABLE
from blocklistd.web.app import make_app
from blocklistd.web.bulk import MOST_ITEMS
from blocklistd.web.feeds import feed_statuses
from blocklistd.web.notices import CatalogueNotice, FeedOutcome, Notices, PolicyNotice, RefreshNotice
from blocklistd.web.service import RefreshReply
from tests.web.conftest import DATED, make_service

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_aiohttp import AiohttpClient

    from blocklistd.web.service import Service
    from tests.web.conftest import Client


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1", 404),
        ("GET", "/v1/feeds/none", 404),
        ("DELETE", "/v1/ip/192.0.2.1", 405),
        ("PUT", "/v1/ip", 405),
        ("GET", "/v1/refresh", 405),
        ("POST", "/healthz", 405),
        ("OPTIONS", "/v1/feeds", 405),
        ("PROPFIND", "/v1/feeds", 405),
        ("GET", "/v1/ip/1.2.3", 400),
        ("POST", "/v1/ip", 415),
        ("POST", "/v1/refresh", 503),
    ],
)
async def test_every_error_is_a_problem(client: Client, method: str, path: str, status: int) -> None:
    """Errors of the router, the handlers and the core all have the one shape of RFC 9457."""
    response = await client.request(method, path)
    assert response.status == status
    assert response.content_type == "application/problem+json"
    problem = await response.json()
    assert set(problem) == {"type", "title", "status", "detail"}
    assert problem["status"] == status
    assert problem["detail"].endswith((".", "address"))
    assert ("Allow" in response.headers) == (status == 405)


async def test_an_error_inside_says_nothing_of_the_inside(service: Service, aiohttp_client: AiohttpClient) -> None:
    """An unexpected exception is a 500 in the same shape, without its text."""

    async def broken() -> RefreshReply:
        raise RuntimeError("the secret path")

    service.ask_refresh = broken
    client = await aiohttp_client(make_app(service))
    response = await client.post("/v1/refresh")
    assert (response.status, response.content_type) == (500, "application/problem+json")
    assert "secret" not in await response.text()


async def test_the_server_header_names_no_version(client: Client) -> None:
    """Nobody learns what to attack from the Server header."""
    assert (await client.get("/healthz")).headers["Server"] == "blocklistd"
    assert (await client.get("/nowhere")).headers["Server"] == "blocklistd"


async def test_live_is_not_ready(empty_client: Client, client: Client) -> None:
    """A process without a snapshot lives, but is not ready."""
    assert (await empty_client.get("/healthz")).status == 200
    assert (await empty_client.get("/readyz")).status == 503
    ready = await (await client.get("/readyz")).json()
    assert ready["ready"] is True
    assert ready["feeds"] == 3


async def test_the_front_page_names_every_route(client: Client) -> None:
    """Who opens the address in a browser learns what can be asked."""
    page = await (await client.get("/")).text()
    assert all(route.path in page for route in TABLE)


def test_each_route_has_its_label_in_the_metrics() -> None:
    """Routes and metrics name the same things."""
    assert {route.name for route in TABLE} | {"other"} == set(ROUTES)


# the contract


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for item in node for found in references(item)] if isinstance(node, list) else []


async def test_the_contract_describes_exactly_the_routes(client: Client) -> None:
    """Every route is in the OpenAPI document with its parameters, its answers and resolvable shapes."""
    document = await (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(document["info"])
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in TABLE}
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for path, methods in document["paths"].items():
        for operation in methods.values():
            parameters = operation.get("parameters", [])
            named = [parameter["name"] for parameter in parameters if parameter["in"] == "path"]
            assert named == re.findall(r"{(\w+)}", path)
            assert all(parameter["required"] is (parameter["in"] == "path") for parameter in parameters)
            assert all(answer["description"] for answer in operation["responses"].values())
    schemas = document["components"]["schemas"]
    used = {reference.removeprefix("#/components/schemas/") for reference in references(document)}
    assert used <= set(schemas)
    for schema in schemas.values():
        assert set(schema.get("required", [])) <= set(schema.get("properties", {}))
    array, wrapped = schemas["IpQuestions"]["oneOf"]
    assert {array["maxItems"], wrapped["properties"]["ips"]["maxItems"]} == {MOST_ITEMS}


async def test_answers_have_the_shape_of_the_contract(client: Client) -> None:
    """What the routes really answer has all required properties and no undeclared one."""
    schemas = (await (await client.get("/openapi.json")).json())["components"]["schemas"]
    for path, shape in {
        "/v1/ip/192.0.2.1": "IpAnswer",
        "/v1/domain/bad.example.org": "DomainAnswer",
        "/v1/feeds": "Feeds",
        "/v1/feeds/alpha": "Feed",
        "/healthz": "Health",
        "/readyz": "Ready",
        "/nowhere": "Problem",
    }.items():
        body = await (await client.get(path)).json()
        assert set(schemas[shape]["required"]) <= set(body) <= set(schemas[shape]["properties"]), path


# access


@pytest.mark.parametrize(
    ("family", "peer", "local"),
    [
        (socket.AF_UNIX, "", True),
        (socket.AF_INET, ("127.0.0.1", 1), True),
        (socket.AF_INET, ("127.8.9.10", 1), True),
        (socket.AF_INET6, ("::1", 1, 0, 0), True),
        (socket.AF_INET6, ("::ffff:127.0.0.1", 1, 0, 0), True),
        (socket.AF_INET, ("192.0.2.1", 1), False),
        (socket.AF_INET6, ("fe80::1%eth0", 1, 0, 2), False),
        (socket.AF_INET, None, False),
        (socket.AF_INET, ("", 0), False),
        (socket.AF_INET, ("localhost", 1), False),
    ],
)
def test_only_this_host_is_local(family: int, peer: object, *, local: bool) -> None:
    """Loopback and unix peers are local; anything unknown is not."""
    assert is_local(family, peer) is local


@given(st.sampled_from(TELLTALE), st.lists(st.sampled_from(["Host", "Accept", "User-Agent"])))
def test_a_telltale_header_in_any_case_is_noticed(telltale: str, others: list[str]) -> None:
    """A header that browsers or proxies add makes a call indirect."""
    assert is_direct(others)
    assert not is_direct([*others, telltale.upper()])


async def test_refresh_is_for_direct_local_callers(service: Service, aiohttp_client: AiohttpClient) -> None:
    """A local program may ask for a refresh; a page in a browser or a visitor behind a proxy may not."""
    asked = 0

    async def grant() -> RefreshReply:
        nonlocal asked
        asked += 1
        return RefreshReply(202, "A refresh begins now.")

    service.ask_refresh = grant
    client = await aiohttp_client(make_app(service))
    response = await client.post("/v1/refresh")
    assert (response.status, (await response.json())["accepted"]) == (202, True)
    for header in ("Origin", "Forwarded", "X-Forwarded-For"):
        response = await client.post("/v1/refresh", headers={header: "x"})
        assert (response.status, response.content_type) == (403, "application/problem+json")
    assert asked == 1


# feeds


async def test_feeds_joins_snapshot_fetch_state_and_catalogue(client: Client, service: Service) -> None:
    """Each feed shows what the snapshot holds, how its last fetch went, and those that never came are shown too."""
    now = time.time()
    write_state(
        service.data,
        FeedState(
            "alpha",
            attempted_at=now,
            finished_at=now,
            succeeded_at=now - 90,
            failures=2,
            outcome="failed",
            reason="HTTP 503",
        ),
        durable=False,
    )
    service.notices.catalogue = CatalogueNotice.from_document(
        {"read_at": now, "problem": "", "feeds": [{"id": "late", "title": "Late", "kind": "ip", "category": "tor"}]}
    )
    body = await (await client.get("/v1/feeds")).json()
    feeds = {feed["id"]: feed for feed in body["feeds"]}
    assert list(feeds) == ["alpha", "beta", "mailers", "late"]
    assert body["snapshot"] == service.snapshot.id
    alpha = feeds["alpha"]
    assert (alpha["state"], alpha["reason"], alpha["failures"], alpha["entries"]) == ("failed", "HTTP 503", 2, 2)
    assert alpha["verdict"] == "accepted"
    assert (feeds["late"]["state"], feeds["late"]["in_snapshot"], feeds["late"]["age_seconds"]) == (
        "never",
        False,
        None,
    )
    assert (alpha["dated"], feeds["late"]["dated"]) == ("2023-11-14T22:13:20Z", None)
    single = await client.get("/v1/feeds/late")
    assert (await single.json())["title"] == "Late"


def test_entries_are_distinct_and_what_became_of_the_lines_is_told(service: Service) -> None:
    """``entries`` are distinct ones, ``lines`` what they came from, and the other counts of the record are told too."""
    record = replace(
        service.snapshot.feeds[0], entries=9, unique=5, rejected=4, special=3, masked=2, wide=1, below_minimum=6
    )
    (status,) = feed_statuses([record], {}, Notices(), time.time())
    body = status.as_body()
    assert (body["entries"], body["lines"], body["rejected"]) == (5, 9, 4)
    assert (body["special"], body["masked"], body["wide"], body["below_minimum"]) == (3, 2, 1, 6)
    assert "unique" not in body


def test_a_date_that_is_none_is_no_harm(service: Service) -> None:
    """A list may bear any number as its date."""
    for dated in (1e18, 1e300, -1e15):
        (status,) = feed_statuses([replace(service.snapshot.feeds[0], dated=dated)], {}, Notices(), time.time())
        assert status.as_body()["dated"] is None


def test_a_feed_taken_out_of_the_catalogue_is_shown_no_more(service: Service) -> None:
    """What is left of its fetches does not keep it in the answers, once a catalogue is known; else all are shown."""
    now = time.time()
    states = {name: FeedState(name, attempted_at=now, finished_at=now, outcome="failed") for name in ("gone", "late")}
    records = service.snapshot.feeds
    row = {"id": "late", "title": "Late", "kind": "ip", "category": "tor", "provider": "Example", "terms": "free"}
    notices = Notices(
        refresh=RefreshNotice(now - 1, now, feeds=(FeedOutcome("gone", "failed", "HTTP 404"),)),
        catalogue=CatalogueNotice.from_document({"read_at": now, "problem": "", "feeds": [row]}),
    )
    statuses = feed_statuses(records, states, notices, now)
    assert [status.id for status in statuses] == ["alpha", "beta", "mailers", "late"]
    assert (statuses[3].state, statuses[3].provider, statuses[3].terms) == ("failed", "Example", "free")
    notices.catalogue = None
    assert "gone" in {status.id for status in feed_statuses(records, states, notices, now)}


@pytest.mark.parametrize(
    ("error", "states", "whole"),
    [
        ("", ["failed"], False),
        ("no feed could be brought in", ["failed", "refused", "not due"], False),
        ("the disk is full", [], True),
        ("the disk is full", ["failed", "updated"], True),
        ("the disk is full", ["not due"], True),
    ],
)
def test_feeds_that_failed_by_themselves_are_no_failure_of_the_whole(
    error: str, states: list[str], *, whole: bool
) -> None:
    """Where each feed that was asked failed, each has its own backoff; anything else is the refresh's own failure."""
    rows = [{"feed": f"feed{number}", "state": state, "reason": ""} for number, state in enumerate(states)]
    notice = RefreshNotice.from_document({"error": error, "feeds": rows})
    assert notice.failed_as_a_whole is whole
    assert notice.result == ("failed" if error else "no_feed")


@pytest.mark.parametrize(
    ("states", "result"),
    [([], "ok"), (["not due"], "ok"), (["updated", "failed"], "ok"), (["failed", "refused", "quarantined"], "no_feed")],
)
def test_a_refresh_in_which_every_feed_failed_is_not_ok(states: list[str], result: str) -> None:
    """One feed that came in, or none that was due, is enough."""
    rows = [{"feed": f"feed{number}", "state": state} for number, state in enumerate(states)]
    assert RefreshNotice.from_document({"feeds": rows}).result == result


async def test_a_refresh_that_could_not_store_its_states_is_seen_in_feeds(client: Client, service: Service) -> None:
    """On a full disk the report over the control channel is the only news, and it is shown."""
    now = time.time()
    outcomes = (FeedOutcome("beta", "failed", "no space left on device"), FeedOutcome("alpha", "updated", ""))
    service.notices.refresh = RefreshNotice(
        now - 1, now, None, published=False, error="the disk is full", feeds=outcomes
    )
    body = await (await client.get("/v1/feeds")).json()
    assert body["refresh"]["error"] == "the disk is full"
    feeds = {feed["id"]: feed for feed in body["feeds"]}
    assert (feeds["beta"]["state"], feeds["beta"]["reason"]) == ("failed", "no space left on device")
    assert feeds["alpha"]["state"] == "never"


async def test_an_old_feed_is_stale_and_an_older_one_dropped(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    """Age counts from the last good fetch, against the feed's own stale_after and drop_after."""
    from tests.support import make_snapshot

    for days, stale, dropped in ((1, False, False), (4, True, False), (31, True, True)):
        make_snapshot(tmp_path, {"alpha": ["192.0.2.1"]}, built_at=time.time() - days * 86400)
        client = await aiohttp_client(make_app(make_service(tmp_path)))
        feed = await (await client.get("/v1/feeds/alpha")).json()
        assert (feed["stale"], feed["dropped"]) == (stale, dropped)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["started", "finished", "snapshot", "error", "feeds", "feed", "state"]), inner
            )
        ),
        max_leaves=10,
    )
)
def test_no_report_of_a_child_can_break_a_worker(document: object) -> None:
    """Whatever JSON a refresh prints, reading it gives a report."""
    assert isinstance(RefreshNotice.from_document(document), RefreshNotice)


# metrics


async def scrape(client: Client) -> dict[tuple[str, tuple[str, ...]], float]:
    text = await (await client.get("/metrics")).text()
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_requests_lookups_and_what_was_listed(client: Client) -> None:
    """Counters say how many were asked, how many were listed and how each route answered."""
    await client.get("/v1/ip/192.0.2.1")
    await client.get("/v1/ip/nonsense")
    await client.get("/nowhere")
    await client.get("/v1/domain/bad.example.org")
    await client.post("/v1/ip", json=["192.0.2.1", "203.0.113.1", "nonsense"])
    await (await client.post("/v1/ip", data="192.0.2.2\n", headers={"Content-Type": "text/plain"})).read()
    values = await scrape(client)
    assert values["blocklistd_lookups_total", ("ip",)] == 4
    assert values["blocklistd_listed_total", ("ip",)] == 3
    assert values["blocklistd_lookups_total", ("domain",)] == 1
    assert values["blocklistd_requests_total", ("ip", "2xx")] == 1
    assert values["blocklistd_requests_total", ("ip", "4xx")] == 1
    assert values["blocklistd_requests_total", ("ip_bulk", "2xx")] == 2
    assert values["blocklistd_requests_total", ("other", "4xx")] == 1


async def test_every_metric_is_scraped_once_something_happened(client: Client, service: Service) -> None:
    """After a refresh and a reading of the catalogue no declared metric is missing, and none is undeclared."""
    now = time.time()
    service.notices.refresh = RefreshNotice(now - 5, now)
    service.notices.catalogue = CatalogueNotice(now, "line 3: nonsense")
    service.notices.policy = PolicyNotice(now, "1 mistake, see the log")
    values = await scrape(client)
    assert {name for name, _ in values} == {metric.name for metric in METRICS}
    assert values["blocklistd_refresh_ok", ()] == 1
    assert values["blocklistd_refresh_duration_seconds", ()] == pytest.approx(5)
    assert values["blocklistd_catalogue_reload_ok", ()] == 0
    assert values["blocklistd_policy_reload_ok", ()] == 0
    assert values["blocklistd_snapshot_generation", ()] == 1
    assert values["blocklistd_feed_entries", ("alpha",)] == 2
    assert values["blocklistd_feed_state", ("alpha", "never")] == 1
    assert values["blocklistd_feed_dated_timestamp_seconds", ("alpha",)] == DATED
    assert values["blocklistd_feed_changed_timestamp_seconds", ("alpha",)] == pytest.approx(now, abs=60)


async def test_openmetrics_is_given_where_it_is_asked_for(client: Client) -> None:
    """Prometheus may choose its newer format."""
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.content_type == "application/openmetrics-text"
    assert (await response.text()).endswith("# EOF\n")


def test_counters_are_summed_over_all_rows(service: Service) -> None:
    """Whoever is asked gives the whole: the sum of what every process wrote in its own row."""
    for row in (service.counters.row(0), service.counters.row(1)):
        row.add(REQUESTS, "ip", "2xx", count=5)
    sums = {(sample.metric, sample.labels): sample.value for sample in service.counters.samples()}
    assert sums[REQUESTS, ("ip", "2xx")] == 10
    assert sum(sums.values()) == 10


def test_a_row_outlives_the_process_that_wrote_it(service: Service) -> None:
    """A second mapping of the same block, as a restarted worker makes it, goes on where the first ended."""
    from blocklistd.daemon.memory import anonymous_file

    handle = anonymous_file("test", size=8 * len(SLOTS))
    Counters(handle, 1).row(0).add(REQUESTS, "ip", "2xx")
    again = Counters(handle, 1)
    again.row(0).add(REQUESTS, "ip", "2xx")
    assert next(sample.value for sample in again.samples() if sample.labels == ("ip", "2xx")) == 2


def test_metric_names_follow_the_rules() -> None:
    """blocklistd_<noun>_<unit>, counters end in _total, each has a sentence and none is declared twice."""
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert re.fullmatch(r"blocklistd_[a-z]+(_[a-z]+)+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.sentence.endswith(".")


def test_a_problem_is_json_even_for_odd_text() -> None:
    """The detail may hold any character."""
    from blocklistd.web.problems import problem

    body = problem(400, "'\x00\"é' is not an address").body
    assert isinstance(body, bytes)
    assert json.loads(body)["status"] == 400
