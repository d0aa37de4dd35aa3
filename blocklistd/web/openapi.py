"""The contract: an OpenAPI 3.1 document made from the route table.

Takes the rows of ``app.ROUTES``, gives the document. Shapes of bodies are written once, here and in ``mail_shapes``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, get_args

from blocklistd.reputation.report import FLAGS, ConnectionType
from blocklistd.version import VERSION
from blocklistd.web.access import OPEN
from blocklistd.web.bodies import JSON, MSGPACK, NDJSON
from blocklistd.web.credentials import API_KEY
from blocklistd.web.mail_shapes import MAIL_SHAPES
from blocklistd.web.problems import PROBLEM
from blocklistd.web.shapes import (
    EVIDENCE,
    FACTS,
    FLAG,
    NUMBER,
    PIN,
    SCORE,
    SNAPSHOT,
    TIME,
    VERDICTS,
    members,
    questions,
    reference,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp import web


@dataclass(frozen=True, slots=True)
class Route:
    """One route: method, path, name (also the label in metrics), handler, a sentence, the shape of its answer.

    errors: statuses it may answer besides ``success``, that of a good answer; also: others that are good; query:
    parameters of the query, none of them needed.
    """

    method: str
    path: str
    name: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    shape: str
    errors: tuple[int, ...] = ()
    success: int = 200
    also: tuple[int, ...] = ()
    query: tuple[str, ...] = ()


SCHEMAS: Final[dict[str, Any]] = {
    "IpAnswer": members("ip listed feeds snapshot", ip=text("Canonical text, RFC 5952."), **FACTS),
    "BadItem": members("ip error", ip={"description": "What was asked."}, error=text("Why it is no address.")),
    "IpQuestions": questions("ips"),
    "IpAnswers": {"type": "array", "items": {"oneOf": [reference("IpAnswer"), reference("BadItem")]}},
    "IpReport": members(
        "ip listed score listed_score verdict profile decided_by fail would flags listings origin suppressed_by "
        "override embedded_ipv4 snapshot",
        ip=text("Canonical text, RFC 5952."),
        listed={
            **FLAG,
            "description": "Whether a list names it and the operator's word or suppression does not clear it.",
        },
        score={**SCORE, "description": "The effective score: 0 where allowed or suppressed, 100 where denied."},
        listed_score={**SCORE, "description": "The sum of the contributions."},
        **VERDICTS,
        flags=members(" ".join(FLAGS), **dict.fromkeys(FLAGS, FLAG)),
        listings={"type": "array", "items": reference("Evidence")},
        origin=members(
            "asn name country region city latitude longitude accuracy_km connection_type connection_reason",
            asn={"type": ["integer", "null"]},
            name=text(nullable=True),
            country=text("Two letters, ISO 3166.", nullable=True),
            region=text(nullable=True),
            city=text(nullable=True),
            latitude={"type": ["number", "null"]},
            longitude={"type": ["number", "null"]},
            accuracy_km={"type": ["integer", "null"]},
            connection_type={"enum": list(get_args(ConnectionType))},
            connection_reason=text("Why, in words."),
        ),
        suppressed_by=text("Why nothing is done against it.", nullable=True),
        override={"oneOf": [reference("Override"), {"type": "null"}]},
        embedded_ipv4=text("The IPv4 address inside, whose listings count too.", nullable=True),
        snapshot=SNAPSHOT,
    ),
    "Evidence": members(
        "feed title category provider network first_seen last_seen current contribution",
        network=text("The most exact network that holds the address, as the list wrote it."),
        **EVIDENCE,
    ),
    "IpReports": {"type": "array", "items": {"oneOf": [reference("IpReport"), reference("BadItem")]}},
    **MAIL_SHAPES,
    "History": members(
        "ip listed feeds known_since events snapshot",
        ip=text("Canonical text, RFC 5952."),
        **FACTS,
        known_since={**TIME, "description": "The past is known from here on; null where it was not recorded."},
        events={
            "type": "array",
            "description": "The newest 1,000, newest first.",
            "items": members(
                "at event feed network kept generation",
                at=TIME,
                event={"enum": ["added", "removed", "expired"]},
                feed=text(),
                network=text("The part of the change around the address."),
                kept={**FLAG, "description": "It left the list and still counts for a while."},
                generation=text("Of the snapshot that brought it.") | NUMBER,
            ),
        },
    ),
    "Feed": members(
        "id state verdict entries stale dropped in_snapshot",
        id=text(),
        title=text(),
        kind=text(),
        category=text(nullable=True),
        provider=text(nullable=True),
        weight={"type": ["integer", "null"]},
        group=text(nullable=True),
        terms=text(nullable=True),
        homepage=text(nullable=True),
        state={"enum": ["never", "updated", "unchanged", "failed", "refused", "quarantined"]},
        reason=text("Why the last attempt was bad, or what went wrong although it was good.", nullable=True),
        verdict={"enum": ["accepted", "refused", "quarantined", "none"]},
        entries=NUMBER,
        lines=NUMBER,
        rejected=NUMBER,
        special=NUMBER,
        masked=NUMBER,
        wide=NUMBER,
        below_minimum=NUMBER,
        rejects={
            "type": "array",
            "description": "The first lines that gave nothing.",
            "items": members("line text reason", line=NUMBER, text=text(), reason=text()),
        },
        ranges=NUMBER,
        age_seconds={"type": ["integer", "null"]},
        last_attempt=TIME,
        last_success=TIME,
        last_change=TIME,
        dated=TIME,
        failures=NUMBER,
        not_before=TIME,
        stale=FLAG,
        dropped=FLAG,
        frozen_since={**TIME, "description": "Fetched well, but nothing new since then."},
        quarantine={
            "description": "A later version that waits for the operator; the one before stays in force.",
            "oneOf": [
                {"type": "null"},
                members(
                    "check reason since entries digest",
                    check=text(),
                    reason=text(),
                    since=TIME,
                    entries=NUMBER,
                    digest=text("SHA-256 of its bytes."),
                ),
            ],
        },
        in_snapshot=FLAG,
    ),
    "Feeds": members(
        "snapshot feeds",
        snapshot=text(nullable=True),
        generation={"type": ["integer", "null"]},
        built_at=TIME,
        age_seconds={"type": ["integer", "null"]},
        snapshot_problem=text(nullable=True),
        state_problem=text("Why newer overrides and keys are not in force.", nullable=True),
        pin=PIN,
        refreshing=FLAG,
        refresh={"type": ["object", "null"]},
        catalogue={"type": ["object", "null"]},
        policy={"type": ["object", "null"]},
        feeds={"type": "array", "items": reference("Feed")},
    ),
    "Override": members(
        "key action reason author created expires",
        key=text("In its canonical form."),
        action={"enum": ["allow", "deny"]},
        reason=text(),
        author=text(),
        created=TIME,
        expires=TIME,
    ),
    "Overrides": members("overrides", overrides={"type": "array", "items": reference("Override")}),
    "OverrideEntry": {
        **members(
            "action reason",
            action={"enum": ["allow", "deny"]},
            reason=text(),
            author=text("The name of the key that is used, if left out.", nullable=True),
            expires=text("ISO 8601, or a duration such as 7d; without it the entry has no end.", nullable=True),
        ),
        "additionalProperties": False,
    },
    "Accepted": members("accepted", accepted=FLAG, detail=text(), progress=text()),
    "Health": members("live", live=FLAG),
    "Ready": members(
        "ready snapshot",
        ready=FLAG,
        snapshot=text(),
        built_at=TIME,
        age_seconds=NUMBER,
        feeds=NUMBER,
        fresh_feeds=NUMBER,
        quarantined_feeds={"type": "array", "items": {"type": "string"}},
        pin=PIN,
    ),
    "Problem": members("type title status detail", type=text(), title=text(), status=NUMBER, detail=text()),
}

BULK: Final = {
    "ip_bulk": ("IpQuestions", "IpAnswer or BadItem"),
    "report_bulk": ("IpQuestions", "IpReport or BadItem"),
    "email_bulk": ("MailQuestions", "MailReport or BadMailItem"),
}
"""Routes that take many: the shape of their questions, and what each answer of a stream is."""

PARAMETERS: Final = {
    "ip": ("One IPv4 or IPv6 address in plain notation.", "192.0.2.1"),
    "address": ("An e-mail address, percent-encoded where it holds ? or #.", "someone@example.org"),
    "name": ("A domain name.", "mail.example.org"),
    "profile": ("The profile of the policy that judges; default where it is not given.", "login"),
    "id": ("Id of a feed.", "tor_bulk_exit"),
    "key": ("An address, a network, an ASN such as AS64500, a country such as DE, or feed:ID.", "192.0.2.0/24"),
}


SECURITY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": API_KEY},
}
BY_KEY: Final[list[dict[str, list[str]]]] = [{name: []} for name in SECURITY_SCHEMES]


def contract(routes: Iterable[Route]) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "blocklistd",
            "version": VERSION,
            "summary": "Which public lists name this address?",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": {"schemas": SCHEMAS, "securitySchemes": SECURITY_SCHEMES},
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = {
        str(status): {"description": route.summary, "content": _content(route)}
        for status in (route.success, *route.also)
    }
    by_key = 401 in route.errors
    for status in route.errors if by_key or route.name in OPEN else (*route.errors, 401):
        answers[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {PROBLEM: {"schema": reference("Problem")}},
        }
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.summary, "responses": answers}
    if route.name not in OPEN:
        operation["security"] = BY_KEY if by_key else [{}, *BY_KEY]  # {}: none is needed on loopback and unix sockets
    if parameters := [
        *(_parameter(name) for name in re.findall(r"{(\w+)}", route.path)),
        *(_parameter(name, "query") for name in route.query),
    ]:
        operation["parameters"] = parameters
    if route.name == "override_put":
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": reference("OverrideEntry")}}}
    if route.name in BULK:
        operation["requestBody"] = {
            "required": True,
            "content": {
                JSON: {"schema": reference(BULK[route.name][0])},
                "text/plain": {"schema": text("One address a line, any number of lines.")},
            },
        }
    return operation


def _content(route: Route) -> dict[str, Any]:
    if route.shape == "text":
        return {"text/plain": {"schema": {"type": "string"}}}
    if route.shape == "object":
        return {JSON: {"schema": {"type": "object"}}}
    schema = {"schema": reference(route.shape)}
    if route.path.startswith("/v1/"):
        content = {JSON: schema, MSGPACK: schema}
        if route.name in BULK:
            content[NDJSON] = {"schema": text(f"One {BULK[route.name][1]} a line.")}
        return content
    return {JSON: schema}


def _parameter(name: str, place: str = "path") -> dict[str, Any]:
    description, example = PARAMETERS[name]
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }
